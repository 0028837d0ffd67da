"""The one error that users see, and the nearest right spelling in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user gave or in a file found; the message is one line naming what and where."""


def reason(error: UserError | OSError) -> str:
    """Return what an error says in one line, with the file that it is about."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).splitlines())


def suggest(word: object, allowed: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'? allowed: a, b, x"`` for an unknown ``word``."""
    choices = sorted(allowed)
    close = difflib.get_close_matches(str(word), choices, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ";"
    return f"{hint} allowed: {', '.join(choices) if choices else '(none)'}"
