"""Names that become part of a path.

Layouts, lists of runs, manifests and records may come from anywhere (a download, another lab), and most of what
they name is also a file or a folder. Each such name is checked here, when the file is read, so that no path that is
put together of them can leave the folder that it starts in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, Field

PART_LENGTH, PATH_LENGTH = 200, 600

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,99}", re.ASCII)
_FILE = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._+-]{{0,{PART_LENGTH - 1}}}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]+", re.ASCII)
# Names that mean a device on Windows, whatever ending they have.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE | re.ASCII)


def is_safe(name: str) -> bool:
    """Return whether a name may become one part of a path: a word of letters, digits and ``_+-``."""
    return _WORD.fullmatch(name) is not None and _DEVICE.fullmatch(name) is None


def is_file_name(name: str) -> bool:
    """Return whether a name may be a file's: like :func:`is_safe`, with single dots inside."""
    return (
        _FILE.fullmatch(name) is not None
        and ".." not in name
        and not name.endswith(".")
        and _DEVICE.fullmatch(name) is None
    )


def is_relative_path(path: str) -> bool:
    """Return whether a path with ``/`` between its parts stays below the folder that it starts in."""
    return len(path) <= PATH_LENGTH and all(is_file_name(part) for part in path.split("/"))


def is_cell_name(name: str) -> bool:
    """Return whether a name is of the form ``<dataset>/<model>/<method>-<variant>.<key>``."""
    parts = name.split("/")
    return len(parts) == 3 and is_safe(parts[0]) and is_safe(parts[1]) and is_file_name(parts[2])


def _checked(test: Callable[[str], bool], wanted: str) -> AfterValidator:
    def check(name: str) -> str:
        if not test(name):
            raise ValueError(f"must be {wanted}")
        return name

    return AfterValidator(check)


SafeName = Annotated[str, _checked(is_safe, "a name of at most 100 letters, digits, '_', '+' and '-'")]
FileName = Annotated[str, _checked(is_file_name, "a file's name of letters, digits, '.', '_', '+' and '-'")]
RelativePath = Annotated[str, _checked(is_relative_path, "a path of such names with '/' between, inside the folder")]
CellName = Annotated[str, _checked(is_cell_name, "of the form <dataset>/<model>/<method>-<variant>.<key>")]
Key = Annotated[
    str, _checked(lambda key: 6 <= len(key) <= 64 and _HEX.fullmatch(key) is not None, "6 to 64 digits of 0-9a-f")
]
Sha256 = Annotated[
    str, _checked(lambda key: len(key) == 64 and _HEX.fullmatch(key) is not None, "a SHA-256: 64 digits of 0-9a-f")
]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]


def control_character(data: Any) -> str | None:
    """Return a text in JSON data that has a control character in it (other than line breaks and tabs), or None.

    Printed on a terminal such a text could hide lines or move the cursor.
    """
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if _CONTROL.search(value):
                return value
        elif isinstance(value, dict):
            waiting.extend(value)
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
    return None


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return a text as one line with its control characters written out, for what nobody has checked."""
    return re.sub(rf"{_CONTROL.pattern}|[\n\t]", lambda found: found[0].encode("unicode_escape").decode(), text)
