"""Write the file and the test of a new method: a working start, of the family that is asked for."""

from __future__ import annotations

import keyword
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from counterpoise import files
from counterpoise.components import components
from counterpoise.errors import UserError, suggest

FAMILIES = ("loss", "modulation", "integration")
BUILT_IN = Path("src/counterpoise/methods")


def new_method(name: str, root: Path, family: str = "loss") -> list[Path]:
    """Write a method that trains and passes its test; return the files written.

    In this project's own checkout the method goes among the built-in ones. Anywhere else it becomes a package
    of its own, ``<root>/<name>/``, whose ``pyproject.toml`` declares it by entry point: ``pip install`` it,
    and benchmarks can name it.

    Raises:
        UserError: the name is no identifier in lower case, is taken, or a file is there already; or there is
            no such family.
    """
    if not name.isidentifier() or name != name.lower() or keyword.iskeyword(name) or name.startswith("_"):
        raise UserError(f"method '{name}': a name is lower-case letters, digits and underscores, as in 'my_method'")
    if name in components("method"):
        raise UserError(f"method '{name}': is already declared in {components('method')[name].file}")
    if family not in FAMILIES:
        raise UserError(f"method '{name}': unknown family '{family}'{suggest(family, FAMILIES)}")
    texts = _built_in(name) if (root / BUILT_IN).is_dir() else _package(name)
    paths = {root / path: template for path, template in texts.items()}
    for path in paths:
        if path.exists():
            raise UserError(f"{path}: is there already; nothing was written")
    words = _words(name, family)
    environment = Environment(
        loader=PackageLoader("counterpoise.methods"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    for path, template in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, environment.get_template(f"{template}.j2").render(words))
    return list(paths)


def _built_in(name: str) -> dict[Path, str]:
    return {BUILT_IN / f"{name}.py": "method.py", Path("tests/methods") / f"test_{name}.py": "test_method.py"}


def _package(name: str) -> dict[Path, str]:
    folder = Path(name)
    return {
        folder / f"{_module(name)}.py": "method.py",
        folder / f"test_{name}.py": "test_method.py",
        folder / "pyproject.toml": "pyproject.toml",
    }


def _module(name: str) -> str:
    return f"counterpoise_{name}"


def _words(name: str, family: str) -> dict[str, str]:
    words = name.split("_")
    return {
        "name": name,
        "family": family,
        "title": " ".join(words).capitalize(),
        "class_name": "".join(word.capitalize() for word in words),
        "module": _module(name),
        "distribution": f"counterpoise-{name.replace('_', '-')}",
    }
