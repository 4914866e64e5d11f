"""Scrubbing: secret words are taken out of a text."""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Collection

SHORTEST = 4
"""Characters that a word needs to be looked for: a shorter one is part of too many others."""

LONG = 16
"""Characters by which a longer word is known where the text breaks off in the middle of it."""


def without(text: str, words: Collection[str], *, stars: str) -> str:
    """*text* with *stars* for each of the *words* in it. Many words take hardly longer than few."""
    known = _Words([word for word in words if len(word) >= SHORTEST])
    heads = {word[:SHORTEST] for word in known.sorted}
    pieces, kept, at = [], 0, 0
    while heads and at <= len(text) - SHORTEST:
        length = known.length_at(text, at) if text[at : at + SHORTEST] in heads else 0
        if length:
            pieces += [text[kept:at], stars]
            kept = at + length
        at += length or 1
    return "".join([*pieces, text[kept:]])


class _Words:
    """Words to look for."""

    def __init__(self, words: Collection[str]) -> None:
        self.sorted = sorted(words)
        by_length = defaultdict(set)
        for word in words:
            by_length[len(word)].add(word)
        self._by_length = sorted(by_length.items(), reverse=True)
        self._long_heads = {word[:LONG] for word in words if len(word) > LONG}

    def length_at(self, text: str, at: int) -> int:
        """The length of the longest word there, or of what the text has of a long one; 0 where there is none."""
        whole = next((length for length, words in self._by_length if text[at : at + length] in words), 0)
        return max(whole, self._beginning_at(text, at) if text[at : at + LONG] in self._long_heads else 0)

    def _beginning_at(self, text: str, at: int) -> int:
        """How much the text has of the word that it has most of: sorted among the words, it is a neighbour of that."""
        longest = self._by_length[0][0]
        rest = text[at : at + longest]
        place = bisect(self.sorted, rest)
        return max(_shared(rest, word) for word in self.sorted[max(0, place - 1) : place + 1])


def _shared(one: str, other: str) -> int:
    """With how many characters both begin."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
