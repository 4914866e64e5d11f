"""Columns and indexes that mean the same on every database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.backends.ddl_references import Statement

    _CharField = models.CharField[Any, Any]
else:
    _CharField = models.CharField


class NameField(_CharField):
    """Text that is compared byte by byte; MySQL's default would take "Mail" and "mail" for the same."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters


class PartialIndex(models.Index):
    """An index over the rows of a condition, unique if asked.

    A database without partial indexes gets a full one over *full_fields* instead, which must hold the columns of the
    condition, so that rows outside of it are out of the way there too.
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
        self.full_fields = list(full_fields or fields)
        self.unique = unique

    def create_sql(
        self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, using: str = "", **kwargs: Any
    ) -> Statement:
        if schema_editor.connection.features.supports_partial_indexes:
            statement = super().create_sql(model, schema_editor, using, **kwargs)
        else:
            full = models.Index(fields=self.full_fields, name=self.name)
            statement = full.create_sql(model, schema_editor, using, **kwargs)
        if self.unique:
            statement.template = statement.template.replace("CREATE INDEX", "CREATE UNIQUE INDEX")
        return statement

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        path, args, kwargs = super().deconstruct()
        return path, args, kwargs | {"full_fields": self.full_fields, "unique": self.unique}
