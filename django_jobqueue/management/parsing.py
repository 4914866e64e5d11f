"""Command lines as all our commands read them: words may follow options, and who misspells one is told the nearest."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Collection, Sequence
from functools import partial

from django_jobqueue.errors import did_you_mean, nearest, shown


def correct(parser: ArgumentParser) -> None:
    """Let *parser* answer a word that it does not know with the nearest that it knows."""
    actions = parser._actions  # noqa: SLF001  # nothing public tells of them
    for action in actions:
        if action.choices is not None and action.type is None:
            action.type = _one_of([str(word) for word in action.choices])
    options = [option for action in actions if action.help != SUPPRESS for option in action.option_strings]
    # Django makes the parser itself, so there is no class of ours to have another method.
    parser.parse_args = partial(_parse_args, parser, options)  # type: ignore[assignment, method-assign]


def _parse_args(
    parser: ArgumentParser, options: Collection[str], args: Sequence[str] | None = None, namespace: None = None
) -> Namespace:
    known, unknown = parser.parse_known_intermixed_args(args, namespace)
    if unknown:
        hints = [did_you_mean(word.partition("=")[0], options) for word in unknown if word.startswith("-")]
        parser.error(" ".join([f"unrecognized arguments: {' '.join(unknown)}.", *filter(None, hints)]))
    return known


def _one_of(words: Collection[str]) -> Callable[[str], str]:
    """Parse one of these *words*."""

    def parse(text: str) -> str:
        if text not in words:
            raise ArgumentTypeError(f"invalid choice: {shown(text)}. {nearest(text, words)}")
        return text

    return parse
