"""What a cron line may say: the grammar of its fields, stricter than any cron's, and the values that they stand for.

Refused is whatever could never be due, is read differently elsewhere, or cannot be meant as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from django_jobqueue.errors import InvalidSchedule, nearest, shown

WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""Words that stand for a whole line."""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
DAYS_OF_MONTH = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}
"""The most days that each month may have."""

ITEM = re.compile(r"(?:\*|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?")
"""One item of the list that a field is: ``*``, or the first and the last value; and the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One of the five fields."""

    name: str
    least: int
    most: int
    words: Mapping[str, int] = field(default_factory=dict)

    def check(self, text: str) -> None:
        """Raise InvalidSchedule unless every item of *text* is valid."""
        for item in text.split(","):
            match = ITEM.fullmatch(item)
            if match is None:
                raise self._refused(
                    item, "is not valid. Use numbers, ranges such as 1-5, or '*', and steps such as */5"
                )
            self._check(item, *match.groups())

    def _check(self, item: str, first: str | None, last: str | None, step: str | None) -> None:
        low = self.least if first is None else self._value(item, first)
        high = self.most if first is None else low if last is None else self._value(item, last)
        if low > high:
            raise self._refused(item, f"runs backwards. Write {first}-{self.most},{self.least}-{last}")
        if step is None:
            return
        if first is not None and last is None:
            raise self._refused(item, f"has a step, but no range. Write {first}-{self.most}/{step}")
        if not 1 <= int(step) <= max(1, high - low):
            raise self._refused(item, f"has a step that is not from 1 to {max(1, high - low)}")

    def _value(self, item: str, text: str) -> int:
        value = int(text) if text.isdigit() else self.words.get(text)
        if value is None or not self.least <= value <= self.most:
            words = f", nor one of {', '.join(self.words)}" if self.words else ""
            raise self._refused(item, f"is not from {self.least} to {self.most}{words}")
        return value

    def _refused(self, item: str, flaw: str) -> InvalidSchedule:
        return InvalidSchedule(f"{shown(item)} in the field {self.name!r} {flaw}.")


FIELDS = (
    Field(name="minute", least=0, most=59),
    Field(name="hour", least=0, most=23),
    Field(name="day of month", least=1, most=31),
    Field(name="month", least=1, most=12, words={word: number for number, word in enumerate(MONTHS, 1)}),
    Field(name="day of week", least=0, most=7, words={word: number for number, word in enumerate(WEEKDAYS)}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values that the fields of a line stand for, sorted; all there are, for ``*``."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    """0 is Sunday."""
    has_step: bool
    """The minute or the hour has one."""

    @property
    def follows_real_time(self) -> bool:
        """The minute or the hour is ``*``, or has a step."""
        return self.has_step or len(self.minutes) == 60 or len(self.hours) == 24

    def includes(self, day: date) -> bool:
        """Whether it is due on *day*: where it names days of the month and of the week, one of them is enough."""
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if len(self.days) == 31 or len(self.weekdays) == 7:
            return day.month in self.months and in_month and in_week
        return day.month in self.months and (in_month or in_week)

    @property
    def is_ever_due(self) -> bool:
        """Whether any of its days exists: one of the week does, and one of a month may."""
        return len(self.weekdays) < 7 or any(min(self.days) <= DAYS_OF_MONTH[month] for month in self.months)


def values_of(line: str) -> Values:
    """Read a *line* in lower case, with one blank between two fields. Raises InvalidSchedule."""
    if line.startswith("@") and line not in WORDS:
        raise InvalidSchedule(f"{shown(line)} is not a word that stands for a line. {nearest(line, WORDS)}")
    texts = WORDS.get(line, line).split()
    if len(texts) != len(FIELDS):
        names = ", ".join(each.name for each in FIELDS)
        hint = " For seconds, use every_seconds." if len(texts) > len(FIELDS) else ""
        raise InvalidSchedule(f"{shown(line)} does not have five fields: {names}.{hint}")
    for each, text in zip(FIELDS, texts, strict=True):
        each.check(text)
    values = _expanded(texts)
    if not values.is_ever_due:
        raise InvalidSchedule(f"{shown(line)} is never due: no month that it names has {min(values.days)} days.")
    return values


def _expanded(texts: list[str]) -> Values:
    from croniter import croniter  # it takes its time, in programs of which few read a cron line

    expanded, _ = croniter.expand(" ".join(texts))
    minutes, hours, days, months, weekdays = (
        tuple(sorted(int(value) for value in (_everything(each) if values == ["*"] else values)))
        for each, values in zip(FIELDS, expanded, strict=True)
    )
    return Values(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=weekdays,
        has_step=any("/" in text for text in texts[:2]),
    )


def _everything(each: Field) -> range:
    return range(7) if each.name == "day of week" else range(each.least, each.most + 1)
