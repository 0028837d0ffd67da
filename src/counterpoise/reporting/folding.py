"""Lines on a terminal: folded between words where they are too long for it, whole in a pipe."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable

COMMAND = re.compile(r"\bcounterpoise \w+ .*--")
"""A command with options stands on one line, to be copied."""

LABELS = 8
"""A line that begins further in goes on below a label, and its parts begin where it does."""


def folded(line: str, width: int) -> list[str]:
    """Return a line in parts of at most ``width`` columns, those that follow set in below where its text begins.

    A word or a path that is longer by itself is left whole.
    """
    if len(line) <= width or COMMAND.search(line):
        return [line]
    blank = len(line) - len(line.lstrip())
    label = re.match(r" *\S+ {2,}", line)
    if label is not None and len(label[0]) <= width // 3:
        indent = len(label[0])
    else:
        indent = blank if blank > LABELS else blank + 2
    return textwrap.wrap(
        line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    ) or [line]


def print_lines(lines: Iterable[str]) -> None:
    """Print lines, folded where standard output is a terminal."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in list(lines):  # all of them, or the error that one of them ends in
        print("\n".join(folded(line, width) if width else [line]))
