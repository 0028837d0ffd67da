"""A benchmark: which tables and figures of which paper to regenerate, with which seeds and stand-ins."""

from __future__ import annotations

import ast
import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from counterpoise.errors import UserError
from counterpoise.papers.head import OWN
from counterpoise.planning.configs import MethodOverride, merge, scaled
from counterpoise.planning.probe import Probe
from counterpoise.validation import load_yaml, parse_yaml, validate

Selection = Literal["last", "best_val", "best_test"]
Scale = Literal["full", "tiny"]
FOLDER = "configs/benchmarks"


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# Names become parts of paths: no dots, so none leads out of its folder.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
PathName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9_-]+)*$")]


class ColumnRun(_Config):
    """What runs for a table's column group: dataset, model and protocol, by the names of their files.

    ``protocols`` gives a variant its own protocol; ``modalities`` maps the paper's modality names to the
    dataset's. ``folds``: the dataset's other folds, by the names of their files. Then ``dataset`` is the
    first of n, and seed s runs on number s modulo n, so that the spread over seeds is one over folds.
    """

    dataset: Name
    folds: list[Name] = []
    model: Name
    protocol: PathName
    protocols: dict[str, PathName] = {}
    modalities: dict[str, str] = {}


class TableRun(_Config):
    """One table of a paper: the column groups that run, and each method's variants (default: published).

    ``probe``: ``starred`` measures the unimodal columns of the paper's starred rows on a linear probe of
    frozen encoders, as the paper does, and of the other rows on their own heads. ``all`` adds columns of ours
    in which every row is probed, so that unimodal accuracies can be compared like for like.
    """

    paper: str
    table: str
    columns: dict[str, ColumnRun]
    rows: list[str] | None = Field(None, min_length=1)
    variants: dict[str, Annotated[list[str], Field(min_length=1)]] = {}
    extra_methods: list[str] = []
    probe: Literal["starred", "all"] = "starred"

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        for key, names in (("rows", self.rows or []), ("extra_methods", self.extra_methods)):
            _refuse_twice(key, names)
        for method, variants in self.variants.items():
            _refuse_twice(f"variants.{method}", variants)
        return self


class OwnColumn(ColumnRun):
    """A column of a table of one's own: what runs there, and the metric that is shown of which output.

    The default output is the joint one, or the only task.
    """

    metric: str = "accuracy"
    output: str = ""


class OwnRow(_Config):
    """A row of a table of one's own: a method, by its name alone where it has no settings and its own title."""

    method: Name
    title: str = ""
    settings: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:
        return {"method": data} if isinstance(data, str) else data


class _OrName:
    """Says in the JSON schema that a name alone will do, as the validator above makes a row of it."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(schema)]}


class OwnTable(_Config):
    """A table of one's own, called ``own``: rows are methods, columns are datasets, and no paper has numbers of it.

    Its rows are compared with each other. ``variants`` gives a method's variants (default: published).
    """

    own: Name
    title: str = ""
    rows: list[Annotated[OwnRow, _OrName()]] = Field(min_length=1)
    columns: dict[Name, OwnColumn] = Field(min_length=1)
    variants: dict[str, Annotated[list[str], Field(min_length=1)]] = {}

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        for method, variants in self.variants.items():
            _refuse_twice(f"variants.{method}", variants)
        return self

    @property
    def run(self) -> TableRun:
        """The table as one of a paper that is called ``own``."""
        return TableRun(paper=OWN, table=self.own, columns=dict(self.columns), variants=self.variants)


def _kind_of_table(data: Any) -> str:
    keys = data if isinstance(data, dict) else vars(data) if isinstance(data, BaseModel) else ()
    misspelt = "paper" not in keys and bool(difflib.get_close_matches(OWN, map(str, keys), n=1))
    return ":OwnTable" if OWN in keys or misspelt else ":TableRun"


# Which of the two is asked for is seen by the key 'own', misspelt or not; so a mistake is said of that one alone.
AnyTable = Annotated[
    Annotated[TableRun, Tag(":TableRun")] | Annotated[OwnTable, Tag(":OwnTable")], Discriminator(_kind_of_table)
]


class FigureRun(_Config):
    """One figure of a paper and, where it is of runs, what they are made on.

    ``note`` is printed under the figure.
    """

    paper: str
    figure: str
    runs: ColumnRun | None = None
    note: str = ""


class Evaluation(_Config):
    """How predictions become metrics.

    ``ece_bins``: equal-width confidence bins. ``stationarity``: the norm below which a combination of gradients
    counts as 0 (MMPareto Table 9). The paper names no tolerance; gradients of batches never give exactly 0.
    """

    ece_bins: int = Field(15, gt=0)
    stationarity: float = Field(1e-3, gt=0)


class Job(_Config):
    """What a training job asks of the machine; no part of a run's identity.

    ``gpus`` is 0 or 1: one run trains on one device. ``runs_per_gpu`` is how many runs may share one device of
    a machine at a time. ``mem_mb`` and ``minutes`` are the first attempt's; the n-th asks for n times as much.
    ``save_seconds`` is how much of a run a kill may cost.
    """

    gpus: int = Field(0, ge=0, le=1)
    runs_per_gpu: int = Field(1, ge=1)
    mem_mb: int = Field(4000, gt=0)
    minutes: int = Field(240, gt=0)
    save_seconds: float = Field(60.0, ge=0)


class Benchmark(_Config):
    """A benchmark file (see ``configs/benchmarks``).

    ``mirror`` is a folder or URL that holds the datasets' source files, tried before their public addresses;
    ``data_roots`` names, by dataset, folders of raw data that the user already has. Neither is part of a
    run's identity: what was read from them is, by digest, in the prepared data's manifest.

    ``scale: tiny`` runs everything in miniature, to see it work: each file's section ``tiny`` is laid over
    the rest of it, this one's too. What comes out is no reproduction, and all of it counts as a stand-in.
    """

    name: str = Field(pattern=r"^[a-z0-9_\-]+$")
    title: str
    note: str = ""
    seeds: list[int] = Field(min_length=1)
    scale: Scale = "full"
    selection: Selection = "last"
    evaluation: Evaluation = Evaluation()
    probe: Probe = Probe()
    job: Job = Job()
    mirror: str | None = None
    data_roots: dict[str, str] = {}
    methods: dict[str, MethodOverride] = {}
    tables: list[AnyTable] = Field(min_length=1)
    figures: list[FigureRun] = []

    @field_validator("seeds")
    @classmethod
    def _seeds_are_distinct(cls, seeds: list[int]) -> list[int]:
        _refuse_twice("seeds", seeds)
        if min(seeds) < 0:
            raise ValueError(f"seeds must be 0 or more; got {min(seeds)}")
        return seeds

    @field_validator("tables")
    @classmethod
    def _tables_are_distinct(cls, tables: list[AnyTable]) -> list[AnyTable]:
        _refuse_twice("tables", [f"{run.paper}.{run.table}" for run in _runs(tables)])
        return tables

    @field_validator("figures")
    @classmethod
    def _figures_are_distinct(cls, figures: list[FigureRun]) -> list[FigureRun]:
        _refuse_twice("figures", [f"{run.paper}.{run.figure}" for run in figures])
        return figures

    @property
    def table_runs(self) -> list[TableRun]:
        """All tables, those of one's own as tables of a paper called ``own``."""
        return _runs(self.tables)


def _runs(tables: Sequence[AnyTable]) -> list[TableRun]:
    return [table.run if isinstance(table, OwnTable) else table for table in tables]


def load_benchmark(path: Path, overrides: dict[str, Any] | None = None) -> Benchmark:
    """Read a benchmark file, with ``overrides`` (as from ``--config``) laid over its top-level keys."""
    if not path.exists():
        raise UserError(f"{path}: there is no such benchmark{_nearest(path)}")
    data = load_yaml(path, "benchmark")
    if not isinstance(data, dict):
        return validate(Benchmark, data, str(path))
    overrides = overrides or {}
    data = scaled(data, overrides.get("scale", data.get("scale", "full")), str(path))
    where = f"{path} with {', '.join(overrides)} replaced" if overrides else str(path)
    return validate(Benchmark, merge(data, overrides), where)


def _nearest(path: Path) -> str:
    """Say which benchmarks there are, and which of them has the name nearest to that of ``path``: they are in
    ``configs/benchmarks`` of one of its folders, or beside it.
    """
    homes = [folder / FOLDER for folder in path.parents if (folder / FOLDER).is_dir()]
    benchmarks = {file.stem: file for file in (homes or [path.parent])[0].glob("*.yaml")}
    near = difflib.get_close_matches(path.stem, benchmarks, n=1, cutoff=0.5)
    hint = f"; did you mean '{benchmarks[near[0]]}'?" if near else ";"
    return f"{hint} allowed: {', '.join(str(benchmarks[name]) for name in sorted(benchmarks)) or '(none)'}"


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """Turn ``["seeds=[0,1]", "evaluation.ece_bins=10"]`` into nested overrides; values are Python or YAML."""
    result: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator:
            raise UserError(f"--set {pair}: must have the form key=value")
        first, *inner = key.split(".")
        if not all((first, *inner)):
            raise UserError(f"--set {pair}: the key '{key}' has an empty part")
        value = _parse_value(text, f"--set {pair}")
        for part in reversed(inner):
            value = {part: value}
        result = merge(result, {first: value})
    return result


def typed_overrides(config: dict[str, Any]) -> dict[str, Any]:
    """Give the values of Snakemake's ``--config`` their types: it hands over what is nested as text."""
    return {key: _typed(value, f"--config {key}") for key, value in config.items()}


def _typed(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {key: _typed(inner, where) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner, where) for inner in value]
    return _parse_value(value, where) if isinstance(value, str) else value


def _parse_value(text: str, where: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return parse_yaml(text, where)


def _refuse_twice(key: str, values: Sequence[Any]) -> None:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"{key} must be distinct; given more than once: {', '.join(map(str, twice))}")
