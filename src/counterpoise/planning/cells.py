"""What a plan is made of: prepared data and cells, each with its key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from counterpoise.components import component
from counterpoise.identity import short_key, source_digest
from counterpoise.planning.configs import Configs, PrepareJob
from counterpoise.weights import weights_of


@dataclass(frozen=True, kw_only=True)
class PreparedDataset:
    """A dataset with its settings, as prepared under ``data/prepared/<name>.<key>``.

    ``source`` is the digest of the ``modules`` (and all that they import) that prepare it. ``job`` is what preparing
    it asks of the machine.
    """

    name: str
    title: str
    component: str
    settings: dict[str, Any] = field(hash=False)
    modules: tuple[str, ...]
    source: str
    key: str
    job: PrepareJob = field(compare=False)

    @property
    def directory(self) -> PurePosixPath:
        """Where the prepared arrays and their manifest are, relative to the project."""
        return PurePosixPath("data/prepared", f"{self.name}.{self.key}")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Dataset x model x method x protocol, resolved; the key digests configuration, source and the data's key.

    ``source`` is the digest of the ``modules`` (and all that they import) that compute its runs' numbers. ``parents``
    are, by modality, the unimodal cells whose run of the same seed a run of this cell starts from; their keys are part
    of ``config``. ``folds`` are the dataset's other folds, where seeds run on different ones.
    """

    dataset: str
    model: str
    method: str
    variant: str
    protocol: str
    config: dict[str, Any] = field(hash=False, compare=False)
    modules: tuple[str, ...]
    source: str
    data: PreparedDataset
    key: str
    parents: tuple[tuple[str, Cell], ...] = ()
    folds: tuple[PreparedDataset, ...] = ()

    def data_of(self, seed: int) -> PreparedDataset:
        """The prepared data that the run of one seed trains on: one of the folds in turn, where there are some."""
        return (self.data, *self.folds)[seed % (1 + len(self.folds))]

    @property
    def name(self) -> str:
        """``<dataset>/<model>/<method>-<variant>.<key>``: the cell's name on the command line."""
        return f"{self.dataset}/{self.model}/{self.method}-{self.variant}.{self.key}"

    @property
    def directory(self) -> PurePosixPath:
        """Where the cell's runs are, relative to the project."""
        return PurePosixPath("results/runs", self.name)

    def run_directory(self, seed: int) -> PurePosixPath:
        """Where the run of one seed is, relative to the project."""
        return self.directory / f"seed-{seed}"

    @property
    def pretrained(self) -> list[str]:
        """The files of pretrained weights that its networks start from, relative to the project."""
        return [f"data/weights/{weights.file}" for weights in weights_of(self.config["model"])]

    def starts_from(self, seed: int) -> list[str]:
        """The files that the run of one seed starts from: prepared data, its parents' weights, and pretrained ones."""
        parents = [f"{parent.run_directory(seed)}/weights.safetensors" for _, parent in self.parents]
        return [f"{self.data_of(seed).directory}/manifest.json", *parents, *self.pretrained]


def read_dataset(configs: Configs, name: str, changes: str = "", changed_in: str = "") -> PreparedDataset:
    """Return the prepared data that a dataset's configuration asks for, with its key.

    Args:
        changes: settings that are laid over those of the file, as JSON; ``changed_in`` says where they are declared.
    """
    config = configs.dataset(name, json.loads(changes or "{}"))
    where = changed_in or str(configs.path("datasets", name))
    dataset = component("dataset", config.component, where)
    settings = dataset.resolve(config.settings, f"{where}: settings")
    modules = (dataset.module,)
    source = source_digest(modules)
    return PreparedDataset(
        name=name,
        title=config.title,
        component=dataset.name,
        settings=settings,
        modules=modules,
        source=source,
        key=short_key({"component": dataset.name, "settings": settings, "source": source}),
        job=config.job,
    )
