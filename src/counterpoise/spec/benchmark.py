"""A benchmark: which tables and figures of which paper to regenerate, with which seeds and stand-ins."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from counterpoise.errors import UserError
from counterpoise.spec.configs import MethodOverride, merge
from counterpoise.spec.validation import load_yaml, validate

Selection = Literal["last", "best_val", "best_test"]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnRun(_Config):
    """What runs for a table's column group: dataset, model and protocol, by the names of their files.

    ``protocols`` gives a variant its own protocol; ``modalities`` maps the paper's modality names to the
    dataset's.
    """

    dataset: str
    model: str
    protocol: str
    protocols: dict[str, str] = {}
    modalities: dict[str, str] = {}


class TableRun(_Config):
    """One table of a paper: the column groups that run, and each method's variants (default: published)."""

    paper: str
    table: str
    columns: dict[str, ColumnRun]
    rows: list[str] | None = Field(None, min_length=1)
    variants: dict[str, list[str]] = {}
    extra_methods: list[str] = []


class Evaluation(_Config):
    """How predictions become metrics: ``ece_bins`` equal-width confidence bins."""

    ece_bins: int = Field(15, gt=0)


class Benchmark(_Config):
    """A benchmark file (see ``configs/benchmarks``).

    ``mirror`` is a folder or URL that holds the datasets' source files, tried before their public addresses;
    ``data_roots`` names, by dataset, folders of raw data that the user already has. Neither is part of a
    run's identity: what was read from them is, by digest, in the prepared data's manifest.
    """

    name: str = Field(pattern=r"^[a-z0-9_\-]+$")
    title: str
    note: str = ""
    seeds: list[int] = Field(min_length=1)
    seeds_per_job: int = Field(5, gt=0)
    selection: Selection = "last"
    evaluation: Evaluation = Evaluation()
    mirror: str | None = None
    data_roots: dict[str, str] = {}
    methods: dict[str, MethodOverride] = {}
    tables: list[TableRun] = Field(min_length=1)

    @field_validator("seeds")
    @classmethod
    def _seeds_are_distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
            raise ValueError(f"seeds must be distinct; given more than once: {', '.join(map(str, twice))}")
        if min(seeds) < 0:
            raise ValueError(f"seeds must be 0 or more; got {min(seeds)}")
        return seeds

    def seed_batches(self) -> list[tuple[int, ...]]:
        """Return the seeds in the batches that one training job takes."""
        size = self.seeds_per_job
        return [tuple(self.seeds[start : start + size]) for start in range(0, len(self.seeds), size)]


def load_benchmark(path: Path, overrides: dict[str, Any] | None = None) -> Benchmark:
    """Read a benchmark file, with ``overrides`` (as from ``--config``) laid over its top-level keys."""
    data = load_yaml(path, "benchmark")
    if not isinstance(data, dict):
        raise UserError(f"{path}: must be a mapping of keys to values")
    return validate(Benchmark, merge(data, overrides or {}), str(path))


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """Turn ``["seeds=[0,1]", "seeds_per_job=2"]`` into a dictionary of literals; other values stay text."""
    result: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator:
            raise UserError(f"--set {pair}: must have the form key=value")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        for part in reversed(key.split(".")[1:]):
            value = {part: value}
        result = merge(result, {key.split(".")[0]: value})
    return result
