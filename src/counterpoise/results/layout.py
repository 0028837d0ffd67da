"""The layout: which cell fills which place of which table and figure, or the reason why none does.

It is what judging and reporting know of a benchmark. The planner writes it once; everything after the runs reads
it, for one's own results as for a published record or for numbers from another engine.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from counterpoise.comparability import Difference
from counterpoise.papers.head import OWN
from counterpoise.papers.tables import PaperTable
from counterpoise.path_names import CellName, FileName, Key, SafeName, Seed

SCHEMA = 1
OF_ONE_MACHINE = frozenset({"job", "mirror", "data_roots"})
"""Settings of a benchmark that say where and how it runs here, and nothing about its results."""


def without_local(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a benchmark's settings without those of one machine."""
    return {name: value for name, value in settings.items() if name.partition(".")[0] not in OF_ONE_MACHINE}


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Split(BaseModel):
    size: int = Field(ge=0)


class _Target(BaseModel):
    names: list[str] | None = None


class _Manifest(BaseModel):
    """What is read of a manifest of prepared data; there is more in it."""

    splits: dict[str, _Split] = {}
    targets: dict[str, _Target] = {}
    sources: list[dict[str, Any]] = []
    dropped: list[Any] = []
    leaks: list[Any] = []


class LayoutData(_Stored):
    """Prepared data that runs are trained on; ``manifest`` is empty where it was never prepared here.

    Two datasets may have the same ``key``: the same settings under two names, as in miniature.
    """

    name: SafeName
    title: str
    component: SafeName
    settings: dict[str, Any]
    key: Key
    manifest: dict[str, Any] = {}

    @field_validator("manifest")
    @classmethod
    def _as_prepared_data_has_it(cls, manifest: dict[str, Any]) -> dict[str, Any]:
        _Manifest.model_validate(manifest)
        return manifest

    @property
    def full_name(self) -> str:
        """``<name>.<key>``: its name everywhere, and that of its folder."""
        return f"{self.name}.{self.key}"

    @property
    def splits(self) -> dict[str, int]:
        """Split -> number of examples."""
        return {name: split["size"] for name, split in self.manifest.get("splits", {}).items()}

    def class_names(self, target: str) -> tuple[str, ...]:
        """Return a target's class names, none where they are not known."""
        return tuple(map(str, self.manifest.get("targets", {}).get(target, {}).get("names") or ()))


class LayoutCell(_Stored):
    """A cell: dataset × model × method × protocol, with its resolved configuration.

    ``data`` is the name of its prepared data, ``folds`` those of the other folds where seeds run on different ones;
    ``parents`` are, by modality, the names of the cells that its runs start from.
    """

    dataset: SafeName
    model: SafeName
    method: SafeName
    method_title: str
    variant: SafeName
    protocol: str
    key: Key
    source: str
    config: dict[str, Any]
    data: FileName
    folds: tuple[FileName, ...] = ()
    parents: dict[str, CellName] = {}

    @property
    def name(self) -> str:
        """``<dataset>/<model>/<method>-<variant>.<key>``: the cell's name everywhere."""
        return f"{self.dataset}/{self.model}/{self.method}-{self.variant}.{self.key}"

    def data_of(self, seed: int) -> str:
        """Return the name of the prepared data that the run of one seed trains on: one of the folds in turn."""
        return (self.data, *self.folds)[seed % (1 + len(self.folds))]


class LayoutTable(_Stored):
    """A table of the benchmark; ``modalities`` gives, by column group, the dataset's names of the paper's modalities.

    ``probe`` is ``all`` where every row's unimodal columns are also measured on a probe of frozen encoders.
    """

    paper: SafeName
    table: SafeName
    probe: Literal["starred", "all"] = "starred"
    modalities: dict[str, dict[str, str]] = {}

    def output_in_dataset(self, group: str | None, output: str) -> str:
        """An output (``joint``, ``audio``, ``probe:audio``) with the modality's name in the dataset that runs."""
        probe, separator, named = output.rpartition(":")
        return f"{probe}{separator}{self.modalities.get(group or '', {}).get(named, named)}"


class LayoutValue(_Stored):
    """One place of a table: the cell that fills it and the output that is measured, or the ``reason`` why none does.

    ``variant`` is None where the row runs in one variant. ``stand_in``: another dataset or training takes the
    paper's place, so the value is never compared with the printed one; ``other_training`` is that protocol's title.
    ``row`` may be one that the paper does not have (the benchmark adds it). ``differs`` are the declared differences
    from what the paper ran; what can be derived from data and runs is found by whoever judges.
    """

    paper: SafeName
    table: SafeName
    row: str
    variant: str | None
    column: str
    cell: CellName | None
    output: str = ""
    reason: str = ""
    stand_in: bool = False
    other_training: str = ""
    differs: tuple[Difference, ...] = ()


class FigureSeries(_Stored):
    """One method of a figure and the cell that it is drawn from, or the reason why there is none."""

    label: str
    cell: CellName | None
    reason: str = ""


class LayoutFigure(_Stored):
    """A figure of the benchmark. ``output`` is the modality that it looks at, by the dataset's name.

    ``measurement`` is the name, without suffix, of the file that its runs' measurements are in, where it needs one.
    """

    paper: SafeName
    figure: SafeName
    series: tuple[FigureSeries, ...] = ()
    output: str = ""
    note: str = ""
    stand_in: bool = False
    measurement: FileName | Literal[""] = ""

    @property
    def id(self) -> str:
        """``<paper>/<figure>``, as in its path."""
        return f"{self.paper}/{self.figure}"


class Layout(_Stored):
    """A benchmark as judging and reporting know it. Cells and data are by name.

    ``benchmark`` has all of the benchmark's settings but those of one machine; ``file`` and ``overrides`` say where
    they came from. ``own`` are the tables of the benchmark's own, which belong to the paper called ``own``.
    """

    schema_version: Literal[1] = Field(1, alias="schema")
    name: SafeName
    title: str
    note: str = ""
    file: str
    overrides: dict[str, Any] = {}
    benchmark: dict[str, Any]
    seeds: tuple[Seed, ...]
    selection: Literal["last", "best_val", "best_test"]
    scale: str = "full"
    ece_bins: int = Field(15, gt=0)
    papers: tuple[SafeName, ...]
    own: tuple[PaperTable, ...] = ()
    tables: tuple[LayoutTable, ...]
    values: tuple[LayoutValue, ...]
    figures: tuple[LayoutFigure, ...] = ()
    cells: dict[CellName, LayoutCell]
    data: dict[FileName, LayoutData]

    @model_validator(mode="after")
    def _names_lead_somewhere(self) -> Self:
        for name, cell in self.cells.items():
            if cell.name != name:
                raise ValueError(f"cells.{name}: is called '{cell.name}' by its own fields")
            for data in (cell.data, *cell.folds):
                if data not in self.data:
                    raise ValueError(f"cells.{name}: its data '{data}' is not among the data")
        for full_name, prepared in self.data.items():
            if prepared.full_name != full_name:
                raise ValueError(f"data.{full_name}: is called '{prepared.full_name}' by its own fields")
        own = {table.table for table in self.own if table.paper == OWN}
        if own != {table.table for table in self.tables if table.paper == OWN}:
            raise ValueError(f"own: must be the tables of '{OWN}' that are among the tables")
        places: tuple[LayoutTable | LayoutValue | LayoutFigure, ...] = (*self.tables, *self.values, *self.figures)
        for place in places:
            if place.paper not in self.papers:
                raise ValueError(f"the paper '{place.paper}' is not among the papers")
        named = [value.cell for value in self.values]
        named += [series.cell for figure in self.figures for series in figure.series]
        for wanted in named:
            if wanted is not None and wanted not in self.cells:
                raise ValueError(f"the cell '{wanted}' is not among the cells")
        return self

    @property
    def judged(self) -> tuple[str, ...]:
        """The papers that results are compared with: those with a table here, not those with figures alone."""
        return tuple(dict.fromkeys(table.paper for table in self.tables))

    def table(self, paper: str, table: str) -> LayoutTable:
        """Return what the benchmark says about a table that it has."""
        return next(found for found in self.tables if (found.paper, found.table) == (paper, table))

    def values_of(self, paper: str, table: str | None = None) -> list[LayoutValue]:
        """Return the places of a paper's tables, or of one of them, in the benchmark's order."""
        return [v for v in self.values if v.paper == paper and table in (None, v.table)]
