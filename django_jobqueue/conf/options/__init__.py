"""Option values: what may be given for an option, and how it is read."""

from __future__ import annotations

from django_jobqueue.conf.options.backoffs import BACKOFF_PARSERS, backoff
from django_jobqueue.conf.options.functions import (
    ErrorClass,
    Function,
    dotted_path,
    error_classes,
    function,
    schema,
    upgrades,
)
from django_jobqueue.conf.options.keys import (
    PayloadKey,
    Reach,
    key_source,
    payload_fields,
    payload_key,
    reach,
)
from django_jobqueue.conf.options.numbers import (
    boolean,
    number,
    rate,
    timeout,
    whole,
)
from django_jobqueue.conf.options.parser import Parser, Problems, at, optional, parsed_by, parsers_of
from django_jobqueue.conf.options.sections import mapping, named, section
from django_jobqueue.conf.options.texts import (
    MOST_TAGS,
    database_alias,
    label,
    labels,
    member,
    moment,
    name,
    names,
    one_of,
    text,
)

__all__ = [
    "BACKOFF_PARSERS",
    "MOST_TAGS",
    "ErrorClass",
    "Function",
    "Parser",
    "PayloadKey",
    "Problems",
    "Reach",
    "at",
    "backoff",
    "boolean",
    "database_alias",
    "dotted_path",
    "error_classes",
    "function",
    "key_source",
    "label",
    "labels",
    "mapping",
    "member",
    "moment",
    "name",
    "named",
    "names",
    "number",
    "one_of",
    "optional",
    "parsed_by",
    "parsers_of",
    "payload_fields",
    "payload_key",
    "rate",
    "reach",
    "schema",
    "section",
    "text",
    "timeout",
    "upgrades",
    "whole",
]
