"""Columns and indexes that mean the same on every database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.backends.ddl_references import Statement
from django.utils import timezone

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor

    _CharField = models.CharField[Any, Any]
else:
    _CharField = models.CharField


def as_stored(moment: datetime) -> datetime:
    """An aware *moment*, as the ORM takes it: without a time zone, where the project has USE_TZ = False."""
    return moment if settings.USE_TZ else timezone.make_naive(moment)


def as_aware(value: datetime) -> datetime:
    """What the ORM gives for a moment, in UTC."""
    return (value if timezone.is_aware(value) else timezone.make_aware(value)).astimezone(UTC)


class NameField(_CharField):
    """Text that is compared byte by byte; MySQL's default would take "Mail", "mail" and "mail " for the same."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            is_mariadb: bool = connection.mysql_is_mariadb  # type: ignore[attr-defined]  # the stubs lack it
            parameters["collation"] = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        return parameters


NOTHING = "DO 0"
"""The statement of MySQL that does nothing."""


class PartialIndex(models.Index):
    """An index over the rows of a condition, unique if asked.

    A database without partial indexes gets a full one over *full_fields* instead, which must hold the columns of the
    condition, so that rows outside of it are out of the way there too; or none, if there are none of these.
    """

    def __init__(
        self,
        *,
        fields: Sequence[str],
        name: str,
        condition: models.Q,
        full_fields: Sequence[str] | None = None,
        unique: bool = False,
    ) -> None:
        super().__init__(fields=fields, name=name, condition=condition)
        self.full_fields = list(fields if full_fields is None else full_fields)
        self.unique = unique

    def create_sql(
        self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, using: str = "", **kwargs: Any
    ) -> Statement:
        if schema_editor.connection.features.supports_partial_indexes:
            statement = super().create_sql(model, schema_editor, using, **kwargs)
        elif not self.full_fields:
            return Statement(NOTHING)
        else:
            full = models.Index(fields=self.full_fields, name=self.name)
            statement = full.create_sql(model, schema_editor, using, **kwargs)
        if self.unique:
            statement.template = statement.template.replace("CREATE INDEX", "CREATE UNIQUE INDEX")
        return statement

    def remove_sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, **kwargs: Any) -> str:
        if self.full_fields or schema_editor.connection.features.supports_partial_indexes:
            return super().remove_sql(model, schema_editor, **kwargs)
        return NOTHING

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        path, args, kwargs = super().deconstruct()
        return path, args, kwargs | {"full_fields": self.full_fields, "unique": self.unique}
