"""From names to a cell: configuration files are read, laid over each other, checked, and named by a key.

Everything that sets a setting of the method or a part of the protocol is a :class:`Layer`;
:meth:`Resolver.layers` lists them in the order in which they are laid over each other.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from counterpoise.components import Component, component
from counterpoise.declare import DatasetInfo, FusionInfo, MethodInfo
from counterpoise.errors import UserError, suggest
from counterpoise.identity import canonical_json, short_key, source_digest
from counterpoise.planning.benchmark import Benchmark, ColumnRun
from counterpoise.planning.cells import Cell, PreparedDataset, read_dataset
from counterpoise.planning.checks import refusal_of_data, refusal_of_micro_batch, refusal_of_selection
from counterpoise.planning.configs import Configs, MethodConfig, MethodOverride, Part, merge
from counterpoise.planning.factors import Change
from counterpoise.planning.manifest import read_manifest
from counterpoise.protocol import Protocol, ProtocolFile
from counterpoise.validation import validate

TRAINING = ("counterpoise.engine.training", "counterpoise.engine.exactness")
"""What every run's numbers depend on, with all that it imports."""
DIAGNOSTICS = "counterpoise.engine.diagnostics"
"""What the numbers of runs that record their steps depend on besides."""
MICRO_BATCHES = "counterpoise.engine.micro_batches"
"""What the numbers of runs depend on besides that pass a batch through the network in parts."""


@dataclass(frozen=True, kw_only=True)
class CellNames:
    """What a cell is resolved from, by name.

    ``settings`` are those of the table's row. ``change`` is what an explanation changes besides, as JSON, and
    ``changed_in`` where that is declared.
    """

    dataset: str
    model: str
    method: str
    variant: str
    protocol: str
    settings: tuple[tuple[str, str], ...] = ()
    folds: tuple[str, ...] = ()
    change: str = ""
    changed_in: str = field(default="", compare=False)

    @classmethod
    def of(cls, column: ColumnRun, method: str, variant: str, settings: Iterable[tuple[str, str]] = ()) -> CellNames:
        """Return the names of a method in a column of a benchmark; modalities get the dataset's names."""
        given = {name: column.modalities.get(value, value) if name == "modality" else value for name, value in settings}
        return cls(
            dataset=column.dataset,
            model=column.model,
            method=method,
            variant=variant,
            protocol=column.protocols.get(variant, column.protocol),
            settings=tuple(given.items()),
            folds=tuple(column.folds),
        )

    def changed(self, change: Change, where: str) -> CellNames:
        """Return the names with one factor changed."""
        return replace(
            self,
            model=change.model or self.model,
            variant=change.variant or self.variant,
            change=change.settings,
            changed_in=where if change.settings else "",
        )

    def changes(self, part: str) -> dict[str, Any]:
        """Return what is changed of ``dataset``, ``method`` or ``protocol``."""
        return json.loads(self.change).get(part, {}) if self.change else {}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A place that sets settings of the method or parts of the protocol; ``name`` says which in messages."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)


class Resolver:
    """Resolves the cells of one benchmark; everything that many cells share is read and checked once."""

    def __init__(self, root: Path, path: Path, benchmark: Benchmark) -> None:
        self.root = root
        self.path = path
        self.benchmark = benchmark
        self.configs = Configs(root / "configs", benchmark.scale)
        self.names: dict[str, CellNames] = {}
        """The names that each cell was resolved from, by the cell's own."""
        self._resolved: dict[CellNames, tuple[Cell | None, str]] = {}
        self._dataset = functools.cache(self._read_dataset)
        self._model = functools.cache(self._read_model)
        self._method_file = functools.cache(self._read_method_file)
        self._sizes = functools.cache(self._read_sizes)
        self._protocol = functools.cache(self._read_protocol)

    # -- a cell

    def resolve(self, names: CellNames, where: str) -> tuple[Cell | None, str]:
        """Return the cell of these names, or None and the reason why the method is not defined there.

        Raises:
            UserError: a name, key or value that cannot be, starting with ``where`` or with the file that is wrong.
        """
        if names not in self._resolved:
            cell, _ = self._resolved[names] = self._cell(names, where)
            if cell is not None:
                self.names.setdefault(cell.name, names)
        return self._resolved[names]

    def _cell(self, names: CellNames, where: str) -> tuple[Cell | None, str]:
        method = self._variant(names, where)
        data, dataset = self._dataset(names.dataset, _json(names.changes("dataset")), names.changed_in)
        model, fusion = self._model(names.model, names.dataset)
        # Before anything about its settings is: where a method is not defined, the rest need not make sense.
        reason = refusal_of_method(method.info, len(model["encoders"]), fusion, dataset)
        if reason:
            return None, reason
        settings, protocol = self._laid_over(method, names, where)
        modality, encoders = settings.get("modality"), model["encoders"]
        if method.info.trains == "single" and modality is not None and modality not in encoders:
            hint = suggest(modality, encoders)
            raise UserError(f"{where}: settings of method '{method.name}': 'modality' is '{modality}'{hint}")
        # All that a run's numbers depend on, besides source and data; the key below is a digest of it, so an entry more
        # or less here renames every run. Components and settings, not the names of files: a renamed file is no change.
        config: dict[str, Any] = {
            "dataset": {"component": data.component, "settings": data.settings},
            "model": model,
            "method": {"name": method.name, "variant": names.variant, "settings": settings},
            "protocol": protocol,
        }
        if protocol.get("micro_batch") is not None:
            from counterpoise.planning.forms import form_of  # and NumPy: other plans do without

            reason = refusal_of_micro_batch(config, form_of(self.root, self.configs, data))
            if reason:
                return None, reason
        parents, reason = self._parents(method.info, names, tuple(model["encoders"]), where)
        if reason:
            return None, reason
        # Entered only where there are any, so that cells without them keep the keys that they had before these existed.
        if parents:
            config["parents"] = {modality: parent.key for modality, parent in parents}
        folds = tuple(self._fold(name, data, names, where) for name in names.folds)
        if folds:
            config["folds"] = [fold.key for fold in folds]
        self._check_data(config, (data, *folds), where)
        modules = modules_of(method, model, protocol)
        source = source_digest(modules)
        cell = Cell(
            dataset=names.dataset,
            model=names.model,
            method=method.name,
            variant=names.variant,
            protocol=names.protocol,
            config=config,
            modules=modules,
            source=source,
            data=data,
            key=short_key({"config": config, "source": source, "data": data.key}),
            parents=parents,
            folds=folds,
        )
        return cell, ""

    def _variant(self, names: CellNames, where: str) -> Component:
        method = component("method", names.method, where)
        variants = method.info.variants
        if names.variant not in variants:
            hint = suggest(names.variant, variants)
            raise UserError(f"{where}: method '{method.name}' has no variant '{names.variant}'{hint}")
        return method

    def _fold(self, name: str, first: PreparedDataset, names: CellNames, where: str) -> PreparedDataset:
        """Return one of a dataset's other folds: the same dataset, split in another way."""
        fold, _ = self._dataset(name, _json(names.changes("dataset")), names.changed_in)
        if fold.component != first.component:
            raise UserError(
                f"{where}: folds: '{name}' is of '{fold.component}', which is another dataset than "
                f"'{first.name}', of '{first.component}'"
            )
        return fold

    def _parents(
        self, method: MethodInfo, names: CellNames, modalities: tuple[str, ...], where: str
    ) -> tuple[tuple[tuple[str, Cell], ...], str]:
        """Return the unimodal cells that a cell starts from (same dataset, model and protocol), or why there are none.

        The method "unimodal" is defined for every network, but not with every setting of its protocol.
        """
        if "unimodal_runs" not in method.needs:
            return (), ""
        cells = []
        change = json.loads(names.change or "{}")
        change.pop("method", None)  # a setting of the method that starts from them is none of theirs
        for modality in modalities:
            parent = replace(
                names,
                method="unimodal",
                variant="published",
                settings=(("modality", modality),),
                change=_json(change),
                changed_in=names.changed_in if change else "",
            )
            cell, reason = self.resolve(parent, f"{where}: run of '{modality}' alone")
            if cell is None:
                return (), f"{method.title} starts from runs of one modality alone: {reason}"
            cells.append((modality, cell))
        return tuple(cells), ""

    def _check_data(self, config: dict[str, Any], data: Iterable[PreparedDataset], where: str) -> None:
        for part in data:
            sizes = self._sizes(part)
            reason = refusal_of_data(config, sizes) or refusal_of_selection(self.benchmark.selection, config, sizes)
            if reason:
                raise UserError(f"{where}: {reason}")

    # -- layers

    def layers(self, method: Component, names: CellNames) -> list[Layer]:
        """Return every place that sets something of a cell's method or protocol; later ones win."""
        file, home = self._method_file(method.name), self.configs.path("methods", method.name)
        protocol = self.configs.path("protocols", names.protocol)
        layers = [
            Layer(name=str(protocol), protocol=self.configs.protocol_values(names.protocol)),
            Layer(
                name=f"variant '{names.variant}' of method '{method.name}'",
                settings=method.info.variants[names.variant].get("settings", {}),
            ),
            Layer(name=str(home), settings=file.settings, protocol=file.protocol),
        ]
        # In the method's file the more special section comes later, and so wins: the variant, then the dataset, then
        # both; and a dataset with a model after the dataset alone. The variant comes before the dataset since its
        # values are defaults for all data, while those of a dataset were chosen on it.
        variant = file.variants.get(names.variant)
        places = (names.dataset, f"{names.dataset}/{names.model}")
        sections: list[tuple[str, MethodOverride | None]] = []
        if variant is not None:
            sections.append((f"variants.{names.variant}", variant))
        sections += [(f"datasets.{place}", file.datasets.get(place)) for place in places]
        if variant is not None:
            sections += [
                (f"variants.{names.variant}.datasets.{place}", variant.datasets.get(place)) for place in places
            ]
        layers += [
            Layer(name=f"{home}: {section}", settings=values.settings, protocol=values.protocol)
            for section, values in sections
            if values is not None
        ]
        own = self.benchmark.methods.get(method.name)
        if own is not None:
            layers.append(Layer(name=self._own_layer(method.name), settings=own.settings, protocol=own.protocol))
        layers.append(Layer(name="the table's row", settings=dict(names.settings)))
        if names.change:
            changed = {"settings": names.changes("method"), "protocol": names.changes("protocol")}
            layers.append(Layer(name=names.changed_in, **changed))
        return layers

    def set_by_benchmark(self, names: CellNames, cell: Cell) -> list[str]:
        """Return, in words, what the benchmark itself sets in a cell's method and protocol, other than the files do."""
        if names.method not in self.benchmark.methods:
            return []
        name = self._own_layer(names.method)
        settings, protocol = self._laid_over(component("method", names.method), names, name, without=name)
        before = _flat({"settings": settings, "protocol": protocol})
        after = _flat({"settings": cell.config["method"]["settings"], "protocol": cell.config["protocol"]})
        # In micro-batches a step is the same but for rounding: no other training.
        changed = [key for key, value in after.items() if before.get(key) != value and key != "protocol.micro_batch"]
        return [f"{key} {after[key]} in place of {before.get(key)}" for key in changed]

    def _own_layer(self, method: str) -> str:
        return f"{self.path}: methods.{method}"

    def _laid_over(
        self, method: Component, names: CellNames, where: str, without: str = ""
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the method's settings and the protocol, complete and checked; ``without`` one of the layers."""
        settings: dict[str, Any] = {}
        protocol: dict[str, Any] = {}
        for layer in (layer for layer in self.layers(method, names) if layer.name != without):
            settings |= layer.settings  # flat: a setting is replaced as a whole
            protocol = merge(protocol, layer.protocol)  # nested: `optimiser: {lr: 0.1}` leaves the other keys of it
        resolved = method.resolve(settings, f"{where}: settings of method '{method.name}'")
        return resolved, self._protocol(_json(protocol), f"{where}: protocol of method '{method.name}'")

    def _read_protocol(self, values: str, where: str) -> dict[str, Any]:
        return validate(Protocol, json.loads(values), where).model_dump(mode="json")

    # -- files

    def protocol_file(self, name: str) -> ProtocolFile:
        """Return a protocol's file; what it stands in for must exist."""
        file = self.configs.protocol_file(name)
        if file.stand_in_for is not None:
            self.check_exists("protocols", file.stand_in_for, f"{self.configs.path('protocols', name)}")
        return file

    def check_exists(self, folder: str, name: str, where: str) -> None:
        """Raise ``UserError`` where a folder of the configuration has no file of this name."""
        known = self.configs.names(folder)
        if name not in known:
            path = self.configs.path(folder, name)
            raise UserError(f"{where}: there is no {folder[:-1]} '{name}' ({path}){suggest(name, known)}")

    def check_column(self, column: ColumnRun, where: str) -> None:
        """Raise ``UserError`` where a column of a table or the runs of a figure name a file that does not exist."""
        self.check_exists("datasets", column.dataset, f"{where}.dataset")
        self.check_exists("models", column.model, f"{where}.model")
        for name in column.folds:
            self.check_exists("datasets", name, f"{where}.folds")
        for protocol in (column.protocol, *column.protocols.values()):
            self.check_exists("protocols", protocol, f"{where}.protocol")

    def outputs(self, dataset: str, model: str) -> list[str]:
        """Return the outputs that a model has on a dataset: ``joint`` and one per modality, or one per task."""
        _, info = self._dataset(dataset)
        if info.task == "multitask":
            return list(info.targets)
        return ["joint", *self.configs.model(model).encoders]

    def _read_method_file(self, name: str) -> MethodConfig:
        file = self.configs.method(name)
        where = self.configs.path("methods", name)
        known = component("method", name).info.variants
        for variant in file.variants:
            if variant not in known:
                hint = suggest(variant, known)
                raise UserError(f"{where}: variants: method '{name}' has no variant '{variant}'{hint}")
        self._check_places(file.datasets, where)
        for variant, section in file.variants.items():
            self._check_places(section.datasets, f"{where}: variants.{variant}")
        return file

    def _check_places(self, places: Iterable[str], where: Path | str) -> None:
        """Check the names of ``dataset`` or ``dataset/model``."""
        for place in places:
            dataset, _, model = place.partition("/")
            self.check_exists("datasets", dataset, f"{where}: datasets.{place}")
            if model:
                self.check_exists("models", model, f"{where}: datasets.{place}")

    def _read_dataset(self, name: str, changes: str = "", changed_in: str = "") -> tuple[PreparedDataset, DatasetInfo]:
        data = read_dataset(self.configs, name, changes, changed_in)
        info = component("dataset", data.component).info
        # A folder of the user's own data (`folder`) declares no modalities: its settings name them.
        return data, info if info.modalities else replace(info, modalities=tuple(data.settings["modalities"]))

    def _read_sizes(self, data: PreparedDataset) -> dict[str, int] | None:
        """Return the sizes of the splits of prepared data, None where it is not prepared, or its manifest is torn."""
        path = self.root / data.directory / "manifest.json"
        with contextlib.suppress(UserError, KeyError, TypeError, ValueError):
            if path.is_file():
                splits = read_manifest(path.parent)["splits"]
                sizes = {split: int(entry["size"]) for split, entry in splits.items()}
                return sizes if "train" in sizes else None
        return None

    def _read_model(self, name: str, dataset_name: str) -> tuple[dict[str, Any], FusionInfo | None]:
        model = self.configs.model(name)
        _, dataset = self._dataset(dataset_name)
        where = str(self.configs.path("models", name))
        for modality in model.encoders:
            if modality not in dataset.modalities:
                hint = suggest(modality, dataset.modalities)
                raise UserError(f"{where}: encoders: dataset '{dataset_name}' has no modality '{modality}'{hint}")
        if dataset.task == "multimodal" and model.fusion is None:
            raise UserError(f"{where}: the key 'fusion' is missing: dataset '{dataset_name}' is multimodal")
        parts = {key: _part("encoder", part, f"{where}: encoders.{key}") for key, part in model.encoders.items()}
        fusion = (
            None
            if dataset.task == "multitask" or model.fusion is None
            else _part("fusion", model.fusion, f"{where}: fusion")
        )
        info = None if fusion is None else component("fusion", fusion["component"]).info
        if info is not None:
            _check_fusion(info, parts, f"{where}: fusion '{info.name}'")
        for modality in model.inputs:
            if modality not in model.encoders:
                hint = suggest(modality, model.encoders)
                raise UserError(f"{where}: inputs: the model has no encoder of a modality '{modality}'{hint}")
        config = {
            "encoders": parts,
            "fusion": fusion,
            "head": model.head.model_dump(),
            "init": model.init,
            "inputs": {name: settings.model_dump(mode="json") for name, settings in model.inputs.items()},
        }
        return config, info


def modules_of(method: Component, model: dict[str, Any], protocol: dict[str, Any]) -> tuple[str, ...]:
    """Return the modules whose import closure computes the numbers of a cell's runs.

    Components are looked up by name and imported by nobody, so they are in no closure but their own. The dataset's is
    not here: it is in the key of the prepared data.
    """
    parts = [component("encoder", part["component"]) for part in model["encoders"].values()]
    if model["fusion"] is not None:
        parts.append(component("fusion", model["fusion"]["component"]))
    asked = [DIAGNOSTICS] if protocol["diagnostics"] else []
    asked += [MICRO_BATCHES] if protocol.get("micro_batch") is not None else []
    return tuple(sorted({*TRAINING, method.module, *(part.module for part in parts), *asked}))


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by their keys with dots."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _json(data: Mapping[str, Any]) -> str:
    """Return a mapping as text, which can be hashed: what is read by it is cached. Nothing for an empty one."""
    return canonical_json(data) if data else ""


def _part(kind: str, part: Part, where: str) -> dict[str, Any]:
    declared = component(kind, part.component, where)
    return {"component": declared.name, "settings": declared.resolve(part.settings, f"{where}: settings")}


def _check_fusion(fusion: FusionInfo, encoders: dict[str, Any], where: str) -> None:
    """Raise ``UserError`` where a fusion cannot join these encoders."""
    least, most = fusion.modalities
    if not least <= len(encoders) <= (len(encoders) if most is None else most):
        raise UserError(f"{where}: joins {_number(least, most)} modalities, not {len(encoders)}")
    widths = {name: part["settings"]["width"] for name, part in encoders.items() if "width" in part["settings"]}
    if fusion.equal_widths and len(set(widths.values())) > 1:
        listed = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise UserError(f"{where}: needs features of one width; the encoders have {listed}")


def _number(least: int, most: int | None) -> str:
    return f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"


def refusal_of_method(method: MethodInfo, modalities: int, fusion: FusionInfo | None, dataset: DatasetInfo) -> str:
    """Return why a method is not defined for a model and a dataset, or nothing."""
    if fusion is None or dataset.task == "multitask":
        if not method.tasks:
            return f"{method.title} is not defined for several tasks"
        count = len(dataset.targets)
        if method.most_tasks is not None and count > method.most_tasks:
            return f"{method.title} combines at most {method.most_tasks} tasks, not {count}"
        return ""
    least, most = method.modalities
    if not least <= modalities <= (modalities if most is None else most):
        return f"{method.title} is defined for {_number(least, most)} modalities, not {modalities}"
    if "weight_slices" in method.needs and not fusion.slices:
        return f"{method.title} needs one weight slice per modality, which fusion '{fusion.name}' has not"
    by_itself = method.family == "integration" or method.trains == "single" or "unimodal_runs" in method.needs
    if fusion.linked and by_itself:
        return f"{method.title} takes each encoder by itself, which fusion '{fusion.name}' does not allow"
    return ""
