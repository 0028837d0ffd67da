"""The order in which several test processes take the tests: the long ones first, a module's together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest

LONG = ("slow", "slurm", "browser")


def long_first(items: Sequence[pytest.Item], processes: int) -> list[pytest.Item]:
    """Return ``items`` in as many sections as there are processes, each with long tests at its beginning.

    ``--dist worksteal`` gives every process one such section, and who is done takes from another's end: quick
    tests, so that no process is left alone with long ones. The long tests of a module stay together, because
    what they share (a finished benchmark, a browser) is made once in each process.
    """
    modules: dict[str, list[pytest.Item]] = {}
    quick = []
    for item in items:
        if any(item.get_closest_marker(name) for name in LONG):
            modules.setdefault(item.nodeid.partition("::")[0], []).append(item)
        else:
            quick.append(item)
    sections: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for tests in sorted(modules.values(), key=len, reverse=True):
        min(sections, key=len).extend(tests)
    rest = iter(quick)
    for section, size in zip(sections, _sizes(len(items), processes), strict=True):
        section.extend(itertools.islice(rest, max(0, size - len(section))))
    return [item for section in sections for item in section] + list(rest)


def _sizes(tests: int, processes: int) -> Iterator[int]:
    """How ``--dist worksteal`` divides tests among processes."""
    for remaining in range(processes, 0, -1):
        yield tests // remaining
        tests -= tests // remaining
