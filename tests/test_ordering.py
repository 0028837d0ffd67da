"""Several test processes finish together (tests/support/ordering.py)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from ordering import long_first


@dataclass(frozen=True)
class Test:
    """As much of a collected test as the order looks at."""

    __test__ = False

    nodeid: str
    marks: tuple[str, ...] = ()

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self.marks else None


QUICK = [Test(f"a/test_quick.py::test_{number}") for number in range(30)]
SLOW = [Test(f"b/test_{module}.py::test_{number}", ("slow",)) for module in "wxyz" for number in range(2)]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_process_begins_with_long_tests_and_no_test_is_lost(processes):
    found = long_first(QUICK + SLOW, processes)
    assert sorted(test.nodeid for test in found) == sorted(test.nodeid for test in QUICK + SLOW)
    start = 0
    for remaining in range(processes, 0, -1):  # as worksteal divides them
        size = (len(found) - start) // remaining
        marks = [bool(test.marks) for test in found[start : start + size]]
        assert marks[0]
        assert marks == sorted(marks, reverse=True)
        assert sum(marks) <= -(-len(SLOW) // processes) + 1
        start += size


def test_the_long_tests_of_a_module_stay_together():
    modules = [test.nodeid.partition("::")[0] for test in long_first(QUICK + SLOW, 3) if test.marks]
    assert len([1 for one, other in itertools.pairwise(modules) if one != other]) == 3


def test_long_tests_alone_are_all_there():
    assert set(long_first(SLOW, 3)) == set(SLOW)
