"""Lists that never count: from the newest row to the oldest, each page beginning where another one ended."""

from __future__ import annotations

from time import monotonic
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from django_jobqueue.admin.read_only import ReadOnlyAdmin
from django_jobqueue.operations.selection import parsed_id

BEFORE, AFTER = "before", "after"
"""The parameters of a page: it begins below, or above, this id."""

PATIENCE_SECONDS = 0.3
"""How long a page looks for further matches before it shows those that it has."""


class KeysetChangeList(ChangeList):
    """One page of a list in the order of ids, newest first.

    Where no index leads to the matches, a page looks for them piece by piece, and only for a while: it says then how
    far it looked, and links to go on from there. So it costs the same on a table of any size.
    """

    older: int | None = None
    """The page of older rows is that before this id; None where there are none."""
    newer: int | None = None
    """The page of newer rows is that after this id; None where there are none."""
    looked_down_to: int | None = None
    """Where the page stopped looking for further matches, if it did before the end."""

    def piece(self) -> int | None:
        """How many ids one query may look through; None where an index leads to the matches."""
        return None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        for name in (BEFORE, AFTER):  # a page, not a filter
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        return super().get_queryset(request, exclude_parameters)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return ["-pk"]

    def get_results(self, request: HttpRequest) -> None:
        before, after = _position(request, BEFORE), _position(request, AFTER)
        rows = None if after is None else self._rows_after(after)
        self.result_list = self._rows_before(before) if rows is None else rows
        self.result_count = len(self.result_list)
        self.full_result_count = None if self.query else self.result_count  # equal ones are not shown
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = bool(self.result_list)
        self.paginator = Paginator(self.result_list, self.list_per_page)

    @property
    def goes_on(self) -> bool:
        """Whether there are other pages."""
        return self.older is not None or self.newer is not None

    @property
    def older_url(self) -> str:
        return self.get_query_string({BEFORE: self.older})

    @property
    def newer_url(self) -> str:
        return self.get_query_string({AFTER: self.newer})

    @property
    def newest_url(self) -> str:
        return self.get_query_string()

    def _rows_before(self, before: int | None) -> list[Any]:
        rows, floor = self._look_down(before)
        if len(rows) > self.list_per_page:
            rows = rows[: self.list_per_page]
            self.older = rows[-1].pk
        elif floor is not None:
            self.older = self.looked_down_to = floor
        if before is not None:
            self.newer = rows[0].pk if rows else before - 1
        return rows

    def _rows_after(self, after: int) -> list[Any] | None:
        """The page of rows above *after*; None where the first page shows them all."""
        rows, ceiling = self._look_up(after)
        if len(rows) > self.list_per_page:
            rows = rows[: self.list_per_page]
            self.newer = rows[-1].pk
        elif ceiling is not None:
            self.newer = ceiling
        else:
            return None
        self.older = after + 1
        return rows[::-1]

    def _look_down(self, before: int | None) -> tuple[list[Any], int | None]:
        """The matches below *before*, one more than a page shows, and the id down to which that looked, if not to the
        end."""
        wanted, piece = self.list_per_page + 1, self.piece()
        queryset = self.queryset if before is None else self.queryset.filter(pk__lt=before)
        if piece is None:
            return list(queryset[:wanted]), None
        rows: list[Any] = []
        floor = before if before is not None else self._end("-pk") + 1
        until, oldest = monotonic() + PATIENCE_SECONDS, None
        while True:
            top, floor = floor, floor - piece
            rows += queryset.filter(pk__lt=top, pk__gte=floor)[: wanted - len(rows)]
            if len(rows) == wanted:
                return rows, None
            oldest = self._end("pk") if oldest is None else oldest
            if floor <= oldest:
                return rows, None
            if monotonic() > until:
                return rows, floor

    def _look_up(self, after: int) -> tuple[list[Any], int | None]:
        """The matches above *after*, from there on, and the id up to which that looked, if not to the end."""
        wanted, piece = self.list_per_page + 1, self.piece()
        queryset = self.queryset.filter(pk__gt=after).reverse()
        if piece is None:
            return list(queryset[:wanted]), None
        rows: list[Any] = []
        ceiling, newest, until = after, self._end("-pk"), monotonic() + PATIENCE_SECONDS
        while True:
            floor, ceiling = ceiling, ceiling + piece
            rows += queryset.filter(pk__gt=floor, pk__lte=ceiling)[: wanted - len(rows)]
            if len(rows) == wanted or ceiling >= newest:
                return rows, None
            if monotonic() > until:
                return rows, ceiling

    def _end(self, order: str) -> int:
        """The first id in this order, of whatever row: the primary key alone answers."""
        everything: QuerySet[Any] = QuerySet(self.model, using=self.root_queryset.db)
        return everything.order_by(order).values_list("pk", flat=True).first() or 0


class KeysetAdmin(ReadOnlyAdmin):
    """A ModelAdmin whose list is a KeysetChangeList."""

    list_per_page = 50

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only the filters that are offered: any other condition might read the whole table."""
        return lookup in {getattr(item, "parameter_name", None) for item in self.list_filter} | {BEFORE, AFTER}


def _position(request: HttpRequest, name: str) -> int | None:
    """Where a page begins or ends: at an id, or at 0, before all of them."""
    text = request.GET.get(name)
    if text is None:
        return None
    number = 0 if text == "0" else parsed_id(text)
    if number is None:
        raise IncorrectLookupParameters
    return number
