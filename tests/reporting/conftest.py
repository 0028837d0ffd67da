"""Results made of numbers, for all tests of reporting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
from made_results import MadeResults


@pytest.fixture
def make_study() -> Callable[..., MadeResults]:
    """Return a function that makes the results of one table: column group -> dataset that runs in it."""

    def make(
        table: str,
        groups: Mapping[str, str],
        seeds: Sequence[int] = (0, 1, 2),
        variants: Mapping[str, Sequence[str]] | None = None,
        paper: str = "mmpareto",
    ) -> MadeResults:
        return MadeResults(paper, {table: groups}, seeds, variants)

    return make
