"""How processes tell each other that there is work, beside the tables: words are cheap, and may be lost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from typing import NamedTuple

from django_jobqueue.engines.base.database import Database


class Word(NamedTuple):
    """There is work in a queue; or a run of it that is running was asked to cancel."""

    namespace: str
    queue: str
    cancel: bool = False


class Ear(ABC):
    """Hears the words of others: one thread listens, and any may close it."""

    @abstractmethod
    def hear(self) -> Collection[Word]:
        """Wait for words; none, when the ear is closed."""

    @abstractmethod
    def close(self) -> None:
        """Let whoever listens go on."""


class Voice(ABC):
    """Says words to all ears; any thread may use it, one at a time."""

    @abstractmethod
    def say(self, words: Iterable[Word]) -> None:
        """Say *words*, and wait for nothing; only when what was said before has been said."""

    @abstractmethod
    def has_said(self) -> bool:
        """Whether the last words have been said; an error, if they could not be."""


class Waking(Database):
    """What a database does for that; nothing, where it says nothing else: those who wait look now and then anyhow."""

    has_voice = False
    """Whether something must be said, for ears to hear it."""

    def voice(self) -> AbstractContextManager[Voice]:
        """A voice with a connection of its own, until the block ends."""
        raise NotImplementedError(f"{type(self).__name__} has no voice.")

    def ear(self, words: Collection[Word]) -> AbstractContextManager[Ear] | None:
        """Listen for any of *words*, in the thread that enters the block; None, where nothing can be heard."""
        return None
