"""What ``paper.yaml`` says of a paper itself, apart from its tables."""

from __future__ import annotations

from pydantic import Field, field_validator

from counterpoise.metrics import METRICS, Better
from counterpoise.papers.data import NAME, PaperData, Unit
from counterpoise.papers.facts import DatasetFacts, Setup

OWN = "own"
"""What stands in the place of a paper's name where tables are one's own."""


class PaperMetric(PaperData):
    """A metric that the paper declares for its own columns: its results come from elsewhere, not from an engine."""

    title: str
    unit: Unit = "percent"
    better: Better = "higher"


class PaperHead(PaperData):
    """A paper by itself: where it appeared, what a printed number is, and the margins that were declared beforehand."""

    paper: str = Field(pattern=NAME)
    short_title: str
    title: str
    authors: tuple[str, ...] = Field(min_length=1)
    venue: str
    year: int
    url: str
    printed_runs: int = Field(ge=1, description="how many runs a printed number averages")
    printed_runs_reason: str
    alpha: float = Field(0.05, gt=0.0, lt=1.0)
    margins: dict[str, float]
    margins_reason: str
    equal_share: float = Field(
        0.25, gt=0.0, lt=1.0, description="the share of a metric's margin within which two rows are practically equal"
    )
    metrics: dict[str, PaperMetric] = Field({})
    datasets: dict[str, DatasetFacts] = Field({})
    setups: dict[str, Setup] = Field({})

    @field_validator("margins")
    @classmethod
    def _positive(cls, margins: dict[str, float]) -> dict[str, float]:
        for metric, margin in margins.items():
            if margin <= 0:
                raise ValueError(f"the margin of '{metric}' must be above 0, got {margin}")
        return margins

    @property
    def is_own(self) -> bool:
        """Whether this is no paper but the tables of one's own: nothing is printed, and rows are compared with rows."""
        return self.paper == OWN

    def practically_equal(self, metric: str) -> float | None:
        """Return the difference between two rows that counts as practically none; None for a metric of a machine."""
        return None if metric not in self.margins else self.equal_share * self.margins[metric]

    def metric_title(self, name: str) -> str:
        """Return what a metric of the paper's columns is called: ``macro F1``, ``pixel accuracy``."""
        return (self.metrics.get(name) or METRICS[name]).title
