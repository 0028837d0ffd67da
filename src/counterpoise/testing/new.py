"""Write a working start of one's own work: a method, an encoder, or a dataset with a table of methods on it."""

from __future__ import annotations

import keyword
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from counterpoise import files
from counterpoise.components import components
from counterpoise.errors import UserError, suggest

FAMILIES = ("loss", "modulation", "integration")
BUILT_IN = {"method": "methods", "encoder": "models"}
SOURCE = Path("src/counterpoise")

# The configuration that a dataset of one's own needs until its first table, by template.
OF_DATASET = {
    "configs/datasets/{name}.yaml": "dataset/dataset.yaml",
    "configs/models/{name}.yaml": "dataset/model.yaml",
    "configs/protocols/{name}.yaml": "dataset/protocol.yaml",
    "configs/benchmarks/{name}.yaml": "dataset/benchmark.yaml",
}
SAMPLES = {"train": 240, "test": 120}
CLASSES, WIDTH = 3, 6


def new_method(name: str, root: Path, family: str = "loss") -> list[Path]:
    """Write a method that trains and passes its test; return the files written.

    In this project's own checkout the method goes among the built-in ones. Anywhere else it becomes a package
    of its own, ``<root>/<name>/``, whose ``pyproject.toml`` declares it by entry point: ``pip install`` it,
    and benchmarks can name it.

    Raises:
        UserError: the name is taken or no identifier in lower case, its file exists, or the family does not.
    """
    if family not in FAMILIES:
        raise UserError(f"method '{name}': unknown family '{family}'{suggest(family, FAMILIES)}")
    return _new_component("method", name, root, family=family)


def new_encoder(name: str, root: Path) -> list[Path]:
    """Write an encoder and its test, as :func:`new_method` does; models name it as ``component``."""
    return _new_component("encoder", name, root)


def new_dataset(name: str, root: Path) -> list[Path]:
    """Write a dataset of files, with made-up ones, a model and a protocol for it, and a benchmark with a table.

    ``counterpoise run --benchmark <name>`` works as it stands; then the files are replaced by one's own.

    Raises:
        UserError: the name is no identifier in lower case, or a file is there already.
    """
    _check_name("dataset", name)
    texts = {path.format(name=name): _rendered(template, _words(name)) for path, template in OF_DATASET.items()}
    texts |= {f"data/raw/{name}/{file}": text for file, text in _made_up().items()}
    return _write({root / path: text for path, text in texts.items()})


def _new_component(kind: str, name: str, root: Path, **more: str) -> list[Path]:
    _check_name(kind, name)
    if name in components(kind):
        raise UserError(f"{kind} '{name}': is already declared in {components(kind)[name].file}")
    home = BUILT_IN[kind]
    if (root / SOURCE / home).is_dir():
        places = {SOURCE / home / f"{name}.py": f"{kind}.py", Path("tests", home, f"test_{name}.py"): f"test_{kind}.py"}
    else:
        module, folder = f"counterpoise_{name}.py", Path(name)
        places = {folder / module: f"{kind}.py", folder / f"test_{name}.py": f"test_{kind}.py"}
        places[folder / "pyproject.toml"] = "pyproject.toml"
    words = _words(name) | {"kind": kind, **more}
    return _write({root / path: _rendered(template, words) for path, template in places.items()})


def _check_name(kind: str, name: str) -> None:
    if not name.isidentifier() or name != name.lower() or keyword.iskeyword(name) or name.startswith("_"):
        raise UserError(f"{kind} '{name}': a name is lower-case letters, digits and underscores, as in 'my_{kind}'")


def _write(texts: dict[Path, str]) -> list[Path]:
    for path in texts:
        if path.exists():
            raise UserError(f"{path}: is there already; nothing was written")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, text)
    return list(texts)


def _rendered(template: str, words: dict[str, str]) -> str:
    environment = Environment(
        loader=PackageLoader("counterpoise.testing"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template(f"{template}.j2").render(words)


def _words(name: str) -> dict[str, str]:
    words = name.split("_")
    return {
        "name": name,
        "title": " ".join(words).capitalize(),
        "class_name": "".join(word.capitalize() for word in words),
        "module": f"counterpoise_{name}",
        "distribution": f"counterpoise-{name.replace('_', '-')}",
    }


def _made_up() -> dict[str, str]:
    """Return the CSV files of three classes in two modalities, the second noisier than the first."""
    random = np.random.default_rng(0)
    centres = {name: random.normal(size=(CLASSES, WIDTH)) for name in ("first", "second")}
    texts = {}
    for split, count in SAMPLES.items():
        labels = np.arange(count) % CLASSES
        texts[f"labels_{split}.csv"] = "\n".join(["label", *(f"class {label}" for label in labels)]) + "\n"
        for noise, (name, centre) in enumerate(centres.items(), start=1):
            values = centre[labels] + noise * random.normal(size=(count, WIDTH))
            header = ",".join(f"f{number}" for number in range(WIDTH))
            lines = [",".join(f"{value:.4f}" for value in row) for row in values]
            texts[f"{name}_{split}.csv"] = "\n".join([header, *lines]) + "\n"
    return texts
