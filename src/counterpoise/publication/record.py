"""A published record: what a benchmark gave, as a folder that stands on its own.

The plan is stored as it was resolved, and so are the papers' numbers and claims. So the record is read,
verified and compared by a source that has moved on and would give every run another key
(docs/publishing.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.errors import UserError, suggest
from counterpoise.files import read_json, sha256_file, write_json
from counterpoise.identity import source_digest
from counterpoise.papers.paper import load_paper
from counterpoise.planning.benchmark import Benchmark
from counterpoise.planning.plan import EVALUATION, REPORTING, Cell, Plan, PlannedValue, PreparedDataset
from counterpoise.validation import validate

SCHEMA = 1
HOME = PurePosixPath("results/published")
PLAN, MANIFEST, README, NOTES = "plan.json", "manifest.json", "README.md", "notes.md"
BENCHMARK_FILE, SEARCH = "benchmark.yaml", "search.json"
RUNS, PREDICTIONS, WEIGHTS = "runs", "predictions", "weights"
NOT_IN_GIT = (PREDICTIONS, WEIGHTS)
# Of this machine, not of the record.
LOCAL_KEYS = {"mirror", "data_roots"}


class _Stored(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class StoredData(_Stored):
    """The prepared data of a cell."""

    name: str
    title: str
    component: str
    settings: dict[str, Any]
    key: str


class StoredCell(_Stored):
    """A cell as planned; ``parents`` maps modalities to the names of the cells that it starts from, ``folds``
    are its dataset's other folds, where seeds run on different ones.
    """

    dataset: str
    model: str
    method: str
    variant: str
    protocol: str
    config: dict[str, Any]
    source: str
    data: StoredData
    key: str
    parents: dict[str, str] = {}
    folds: tuple[StoredData, ...] = ()


class StoredValue(_Stored):
    """A place in a table and the name of the cell that fills it."""

    paper: str
    table: str
    row: str
    variant: str | None
    column: str
    cell: str | None
    reason: str = ""
    stand_in: bool = False
    other_training: str = ""


class StoredRun(_Stored):
    """A run of the plan and how it ended; ``missing`` has left nothing behind."""

    cell: str
    seed: int
    status: Literal["completed", "diverged", "failed", "missing"]


class Origin(_Stored):
    """Of which state of the project a record was published.

    ``reporting`` and ``evaluation`` are digests of the source that judged and wrote, and that measured; empty
    where that is not known. ``other_source``: how many runs another version of the source made.
    """

    commit: str | None
    dirty: bool | None
    reporting: str
    evaluation: str
    other_source: int = 0


class StoredPlan(_Stored):
    """The content of ``plan.json``.

    ``left_out`` names the kinds of files that would have made the record larger than it may be.
    """

    schema_version: Literal[1] = Field(alias="schema")
    benchmark: dict[str, Any]
    benchmark_file: str
    overrides: dict[str, Any]
    metrics_name: str
    probe_name: str
    cells: list[StoredCell]
    values: list[StoredValue]
    papers: dict[str, dict[str, str]]
    figures: list[str]
    runs: list[StoredRun]
    left_out: list[str] = []
    origin: Origin


class Manifest(_Stored):
    """The content of ``manifest.json``: each file of the record with its SHA-256."""

    schema_version: Literal[1] = Field(alias="schema")
    files: dict[str, str]


@dataclass(frozen=True)
class PublishedCell(Cell):
    """A cell whose runs are in a published record."""

    @property
    def directory(self) -> PurePosixPath:
        """Where the cell's runs are, relative to the record."""
        return PurePosixPath(RUNS, self.name)


@dataclass(frozen=True)
class PublishedPlan(Plan):
    """A plan as it was resolved when it was published, with the names that its files have."""

    metrics_name: str = ""
    probe_name: str = ""


@dataclass(frozen=True)
class PublishedRecord:
    """A published record that was read: its folder, its plan, and what is stored beside the plan."""

    folder: Path
    plan: PublishedPlan
    stored: StoredPlan

    @property
    def same_writer(self) -> bool:
        """Whether the source that judges and writes is the one that wrote this record."""
        return self.stored.origin.reporting == source_digest(REPORTING)

    @property
    def same_evaluation(self) -> bool:
        """Whether the source that measures predictions is the one that measured this record's."""
        return self.stored.origin.evaluation == source_digest(EVALUATION)


def find_record(root: Path, name: str) -> Path:
    """Return the folder of a published record, given by its path or by its name.

    Raises:
        UserError: there is no such record.
    """
    for folder in (Path(name), Path(root) / name, Path(root) / HOME / name):
        if (folder / PLAN).is_file() or (folder / MANIFEST).is_file():
            return folder
    known = [path.parent.name for path in (Path(root) / HOME).glob(f"*/{PLAN}")]
    raise UserError(f"{name}: no published record (a folder with {PLAN} and {MANIFEST}){suggest(name, known)}")


def read_published(folder: Path) -> PublishedRecord:
    """Read the plan of a published record; its configurations and source are not looked at.

    Raises:
        UserError: the plan or a paper's file is missing, torn, or of another schema.
    """
    folder = Path(folder)
    where = folder / PLAN
    stored = validate(StoredPlan, read_json(where, "plan of a published record"), str(where))
    benchmark = validate(Benchmark, stored.benchmark, f"{where}: benchmark")
    papers = {name: load_paper(folder, name) for name in stored.papers}
    cells: dict[str, Cell] = {}
    for cell in stored.cells:
        found = _cell(cell, cells, where)
        cells[found.name] = found
    values = [_value(value, cells, where) for value in stored.values]
    plan = PublishedPlan(
        benchmark,
        folder / BENCHMARK_FILE,
        stored.overrides,
        list(cells.values()),
        values,
        papers,
        allotted=Counter(run.cell for run in stored.runs),
        metrics_name=stored.metrics_name,
        probe_name=stored.probe_name,
    )
    return PublishedRecord(folder, plan, stored)


def _cell(stored: StoredCell, known: Mapping[str, Cell], where: Path) -> PublishedCell:
    parents = tuple((modality, _known(name, known, where)) for modality, name in stored.parents.items())
    data, *folds = (PreparedDataset(**dict(one)) for one in (stored.data, *stored.folds))
    return PublishedCell(
        stored.dataset,
        stored.model,
        stored.method,
        stored.variant,
        stored.protocol,
        stored.config,
        stored.source,
        data,
        stored.key,
        parents,
        tuple(folds),
    )


def _value(stored: StoredValue, cells: Mapping[str, Cell], where: Path) -> PlannedValue:
    cell = None if stored.cell is None else _known(stored.cell, cells, where)
    return PlannedValue(**{**dict(stored), "cell": cell})


def _known(name: str, cells: Mapping[str, Cell], where: Path) -> Cell:
    if name not in cells:
        raise UserError(f"{where}: names the cell '{name}', which is not among its cells")
    return cells[name]


def stored_cells(plan: Plan) -> list[dict[str, Any]]:
    """Return a plan's cells as JSON data, parents before the cells that start from them."""
    ordered: dict[str, Cell] = {}
    for cell in plan.cells:
        for _, parent in cell.parents:
            ordered.setdefault(parent.name, parent)
        ordered.setdefault(cell.name, cell)
    return [_cell_data(cell) for cell in ordered.values()]


def _cell_data(cell: Cell) -> dict[str, Any]:
    names = ("dataset", "model", "method", "variant", "protocol", "config", "source", "key")
    return {
        **{name: getattr(cell, name) for name in names},
        "data": _data(cell.data),
        "parents": {modality: parent.name for modality, parent in cell.parents},
        **({"folds": [_data(fold) for fold in cell.folds]} if cell.folds else {}),
    }


def _data(data: PreparedDataset) -> dict[str, Any]:
    return {name: getattr(data, name) for name in StoredData.model_fields}


def stored_values(plan: Plan) -> list[dict[str, Any]]:
    """Return, as JSON data, which cell fills which place of which table."""
    names = set(StoredValue.model_fields) - {"cell"}
    return [
        {**{name: getattr(value, name) for name in names}, "cell": value.cell and value.cell.name}
        for value in plan.values
    ]


def writer_digests() -> dict[str, str]:
    """Return the digests of the source that judges and writes, and of the source that measures."""
    return {"reporting": source_digest(REPORTING), "evaluation": source_digest(EVALUATION)}


def without_local(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a benchmark's settings without those that name folders of one machine."""
    return {name: value for name, value in settings.items() if name not in LOCAL_KEYS}


def record_files(folder: Path) -> Iterator[Path]:
    """Yield the files that a record's manifest vouches for.

    Those that only DVC carries are in the runs' records, by digest; ``notes.md`` is a person's to change.
    """
    for path in sorted(Path(folder).rglob("*")):
        name = path.relative_to(folder).as_posix()
        own = name in (MANIFEST, NOTES, ".gitignore") or name in {f"{large}.dvc" for large in NOT_IN_GIT}
        if path.is_file() and not own and name.partition("/")[0] not in NOT_IN_GIT:
            yield path


def write_manifest(folder: Path) -> None:
    """Write the manifest of the record in ``folder``."""
    digests = {path.relative_to(folder).as_posix(): sha256_file(path) for path in record_files(folder)}
    write_json(Path(folder) / MANIFEST, {"schema": SCHEMA, "files": digests})


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a published record."""
    where = Path(folder) / MANIFEST
    return validate(Manifest, read_json(where, "manifest of a published record"), str(where))
