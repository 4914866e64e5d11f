"""What all pages have in common: they show rows of this deployment, and no form writes one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst

from django_jobqueue.conf import get_config
from django_jobqueue.errors import JobQueueError

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class ReadOnlyAdmin(_ModelAdmin):
    """A ModelAdmin that never writes: operations are the one door for that."""

    actions_selection_counter = True
    preserve_filters = False
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()

    class Media:
        css = {"all": ["django_jobqueue/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows of this namespace, in the database that holds them. A project may narrow it."""
        config = get_config()
        return super().get_queryset(request).using(config.database).filter(namespace=config.namespace)

    def changelist_view(self, request: HttpRequest, extra_context: Mapping[str, Any] | None = None) -> HttpResponse:
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def may(self, verb: str, request: HttpRequest) -> bool:
        """Whether the user has the permission to *verb* what this admin shows."""
        permission = f"{self.opts.app_label}.{verb}"
        return self.has_view_permission(request) and bool(request.user.has_perm(permission))

    def actor(self, request: HttpRequest) -> str:
        """The name of the user, as activities keep it."""
        return request.user.get_username()[:255]

    @contextmanager
    def telling_refusals(self, request: HttpRequest) -> Iterator[None]:
        """Tell the user what an operation refuses, and leave the block."""
        try:
            yield
        except JobQueueError as error:
            self.message_user(request, str(error), messages.ERROR)

    def page(self, request: HttpRequest, template: str, *, title: str, **context: Any) -> TemplateResponse:
        """A page of our own within the admin site."""
        request.current_app = self.admin_site.name
        shared = {"opts": self.opts, "title": title, "list_url": self.url("changelist")}
        return TemplateResponse(
            request,
            f"admin/{self.opts.app_label}/{template}",
            {**self.admin_site.each_context(request), **shared, **context},
        )

    def url(self, view: str, *arguments: object) -> str:
        """The address of one of the pages of this admin."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}"
        return reverse(name, args=arguments, current_app=self.admin_site.name)
