"""What a paper states about its datasets, for the audit of its printed numbers."""

from __future__ import annotations

from pydantic import Field

from counterpoise.papers.data import PaperData


class Count(PaperData):
    """A count that a paper states, with what it can be checked against."""

    what: str
    stated: int
    quote: str
    section: str
    reference: int | None = None
    source: str = ""


class TestSize(PaperData):
    """A size that a paper's test set may have, known before looking at the numbers."""

    __test__ = False  # not a test class, whatever its name says

    size: int = Field(gt=0)
    source: str
    assumed: bool = Field(False, description="our assumption; nothing in the paper says so")


class Setup(PaperData):
    """What a paper trained in some of its columns, as far as the gate compares it with the configuration of our runs.

    Encoders that have no ``weights`` start at random.
    """

    weights: dict[str, str] = Field(
        {}, description="by modality, what an encoder starts from: a name of counterpoise.weights, or else words"
    )
    data: dict[str, str | int | float] = Field({}, description="settings of the dataset")
    source: str


class DatasetFacts(PaperData):
    """What a paper states about a dataset, for the audit."""

    title: str
    counts: tuple[Count, ...] = ()
    test_sizes: tuple[TestSize, ...] = ()
