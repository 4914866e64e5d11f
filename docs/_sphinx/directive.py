"""The directive ``jobqueue-options``: the options of one section of the settings, out of the code that reads them."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs._sphinx.options import Option, options_of

CODE = re.compile(r"``(.+?)``", re.DOTALL)


class Options(SphinxDirective):
    """A definition list. ``[text](#worker-poll_seconds)`` links to an option of it, from any page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        section = self.arguments[0]
        return [nodes.definition_list("", *(self._item(section, option) for option in options_of(section)))]

    def _item(self, section: str, option: Option) -> nodes.definition_list_item:
        term = nodes.term("", "", nodes.literal(text=option.name), names=[f"{section}-{option.name}"])
        self.state.document.note_explicit_target(term)
        term += nodes.inline("", f"{option.type} · default ", nodes.literal(text=option.default), classes=["option"])
        paragraphs = (nodes.paragraph("", "", *_inline(text)) for text in option.meaning.split("\n\n"))
        return nodes.definition_list_item("", term, nodes.definition("", *paragraphs))


def _inline(text: str) -> list[nodes.Node]:
    """*text* with its words of code marked up."""
    parts = CODE.split(" ".join(text.split()))
    return [nodes.literal(text=part) if index % 2 else nodes.Text(part) for index, part in enumerate(parts)]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("jobqueue-options", Options)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
