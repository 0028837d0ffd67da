"""The configuration files other than benchmarks and papers: datasets, models, methods, protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.comparability import DeclaredDifference
from counterpoise.errors import UserError
from counterpoise.identity import canonical_json
from counterpoise.planning.factors import FOLDERS as WITH_FACTORS
from counterpoise.planning.factors import Factor, read_factors
from counterpoise.protocol import Protocol, ProtocolFile
from counterpoise.validation import load_yaml, validate

Number = TypeVar("Number")
Pair = Annotated[tuple[Number, Number], Field(strict=False)]  # YAML has lists only


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Part(_Config):
    """A component and its settings."""

    component: str
    settings: dict[str, Any] = {}


class PrepareJob(_Config):
    """What a job that prepares a dataset asks of the machine; no part of the data's identity.

    ``cores`` decode at the same time. ``mem_mb`` and ``minutes`` are the first attempt's; the n-th asks for n
    times as much, and goes on where the one before was cut off.
    """

    cores: int = Field(1, gt=0)
    mem_mb: int = Field(2000, gt=0)
    minutes: int = Field(30, gt=0)


class ExpectedArray(_Config):
    """A modality or target as it will be prepared, in the words of the manifest."""

    shape: list[int] = []
    dtype: str = "int64"
    kind: str = "classification"
    classes: int = 1


class Expected(_Config):
    """What preparing a dataset gives, known beforehand; ``raw_bytes`` is what its files take, where that is published.

    An estimate rests on it until the data is prepared; no run does.
    """

    raw_bytes: int | None = None
    samples: dict[str, int]
    modalities: dict[str, ExpectedArray]
    targets: dict[str, ExpectedArray]


class DatasetConfig(_Config):
    """A dataset: the component that prepares it, and whether it stands in for a paper's dataset.

    ``known_as`` is its name in the papers' tables, where the file is named after one of its folds or forms.
    ``expected`` holds at full scale and for the settings of the file.
    """

    component: str
    title: str
    known_as: str | None = None
    stand_in_for: str | None = None
    note: str = ""
    settings: dict[str, Any] = {}
    expected: Expected | None = None
    comparability: list[DeclaredDifference] = []
    job: PrepareJob = PrepareJob()


class HeadConfig(_Config):
    """A prediction head on one encoder's features: linear, or with one hidden layer of ``hidden`` units."""

    hidden: int | None = Field(None, gt=0)


class InputConfig(_Config):
    """How an image or video modality is presented: frames taken, random crop and flip in training, size."""

    frames: int | None = Field(None, gt=0)
    random_frames: bool = False
    size: Pair[int] | None = None
    crop_scale: Pair[float] | None = None
    crop_ratio: Pair[float] = (3 / 4, 4 / 3)
    flip: float = Field(0.0, ge=0, le=1)


class ModelConfig(_Config):
    """Encoders by modality, the fusion of their features (multimodal only) and the heads."""

    title: str
    encoders: dict[str, Part]
    inputs: dict[str, InputConfig] = {}
    fusion: Part | None = None
    head: HeadConfig = HeadConfig()
    init: Literal["torch", "xavier"] = "torch"
    note: str = ""
    comparability: list[DeclaredDifference] = []


class MethodOverride(_Config):
    """Settings of a method and parts of the protocol that replace the defaults."""

    settings: dict[str, Any] = {}
    protocol: dict[str, Any] = {}


class VariantOverride(MethodOverride):
    """Overrides of one variant, and those that it has for single datasets (or ``dataset/model``)."""

    datasets: dict[str, MethodOverride] = {}


class MethodConfig(MethodOverride):
    """A method's file: overrides for all datasets, then by variant, then by dataset or ``dataset/model``,
    then by variant and dataset.
    """

    note: str = ""
    variants: dict[str, VariantOverride] = {}
    datasets: dict[str, MethodOverride] = {}


class Configs:
    """The folder ``configs/`` of a project; every file is read once, at one scale (:func:`scaled`)."""

    def __init__(self, root: Path, scale: str = "full") -> None:
        self.root = Path(root)
        self.scale = scale
        self._read: dict[tuple[str, str, str], Any] = {}
        self._factors: dict[tuple[str, str], dict[str, Factor]] = {}
        self._protocols: dict[str, dict[str, Any]] = {}
        self._names: dict[str, list[str]] = {}

    def dataset(self, name: str, settings: dict[str, Any] | None = None) -> DatasetConfig:
        """Read ``datasets/<name>.yaml``, with ``settings`` laid over those at full scale."""
        return self._load("datasets", name, DatasetConfig, "dataset", {"settings": settings} if settings else None)

    def model(self, name: str) -> ModelConfig:
        """Read ``models/<name>.yaml``."""
        return self._load("models", name, ModelConfig, "model")

    def protocol(self, name: str) -> Protocol:
        """Read ``protocols/<name>.yaml``; the name may have a folder (``mmpareto/published``)."""
        return self.protocol_file(name).protocol()

    def protocol_file(self, name: str) -> ProtocolFile:
        """Read ``protocols/<name>.yaml`` with what it says about itself."""
        return self._load("protocols", name, ProtocolFile, "protocol")

    def method(self, name: str) -> MethodConfig:
        """Read ``methods/<name>.yaml``; a method without one has no overrides."""
        if not self.path("methods", name).is_file():
            return MethodConfig()
        return self._load("methods", name, MethodConfig, "method")

    def factors(self, folder: str, name: str) -> dict[str, Factor]:
        """Return the factors that a file declares, by name; a file that is not there declares none."""
        if (folder, name) not in self._factors and self.path(folder, name).is_file():
            readers: tuple[Callable[[str], object], ...] = (self.dataset, self.model, self.method, self.protocol)
            dict(zip(WITH_FACTORS, readers, strict=True))[folder](name)
        return self._factors.get((folder, name), {})

    def path(self, folder: str, name: str) -> Path:
        """Return where the configuration ``name`` of a ``folder`` is."""
        return self.root / folder / f"{name}.yaml"

    def names(self, folder: str) -> list[str]:
        """Return the names of a folder's configurations, those in folders of it with their folder."""
        if folder not in self._names:
            home = self.root / folder
            paths = (path.relative_to(home).with_suffix("") for path in home.rglob("*.yaml"))
            self._names[folder] = sorted(path.as_posix() for path in paths)
        return self._names[folder]

    def protocol_values(self, name: str) -> dict[str, Any]:
        """Return what a protocol's file says of the protocol, before anything is laid over it."""
        if name not in self._protocols:
            self._protocols[name] = self.protocol_file(name).values()
        return self._protocols[name]

    def _load(
        self, folder: str, name: str, schema: type[BaseModel], what: str, over: dict[str, Any] | None = None
    ) -> Any:
        place = (folder, name, canonical_json(over) if over else "")
        if place not in self._read:
            path = self.path(folder, name)
            data = load_yaml(path, what)
            if isinstance(data, dict):
                data = scaled(merge(data, over or {}), self.scale, str(path), needed=folder != "methods")
                if folder in WITH_FACTORS:
                    self._factors[folder, name] = read_factors(data.pop("factors", {}), str(path))
            self._read[place] = validate(schema, data, str(path))
        return self._read[place]


def scaled(data: dict[str, Any], scale: Any, where: str, needed: bool = True) -> dict[str, Any]:
    """Return a file's content without its section ``tiny``, which is laid over the rest at the scale ``tiny``.

    Where the section names another component, that component's settings replace the old one's.

    Raises:
        UserError: the section is ``needed`` and not there: at full size the file is no miniature.
    """
    rest = {key: value for key, value in data.items() if key != "tiny"}
    if scale != "tiny":
        return rest
    rest.pop("expected", None)  # what a dataset gives at full size
    tiny = data.get("tiny", None if needed else {})
    if not isinstance(tiny, dict):
        raise UserError(f"{where}: scale 'tiny' needs a section 'tiny' here; an empty one, {{}}, changes nothing")
    return _laid_over(rest, tiny)


def _laid_over(base: dict[str, Any], tiny: dict[str, Any]) -> dict[str, Any]:
    if "component" in tiny and tiny["component"] != base.get("component"):
        base = {key: value for key, value in base.items() if key != "settings"}
    result = dict(base)
    for key, value in tiny.items():
        inner = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _laid_over(result[key], value) if inner else value
    return result


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``override`` laid over it, mapping by mapping."""
    result = dict(base)
    for key, value in override.items():
        inner = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if inner else value
    return result


__all__ = ["Configs", "DatasetConfig", "MethodConfig", "ModelConfig", "Part", "load_yaml", "merge", "scaled"]
