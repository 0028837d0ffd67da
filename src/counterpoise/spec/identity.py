"""Digests that name things: canonical JSON of a configuration, and the source that can change a result.

The source digest of a set of modules covers their import closure inside the package, found from the syntax
tree without importing anything. Comments, docstrings and formatting do not count: each file enters as its
syntax tree written out again (DESIGN section 4).
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import counterpoise
from counterpoise.errors import UserError

PACKAGE = "counterpoise"
ROOT = Path(counterpoise.__file__).parent
KEY_LENGTH = 12


def canonical_json(data: Any) -> str:
    """Return the one JSON text of ``data``: sorted keys, no spaces, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest(data: Any) -> str:
    """Return the hexadecimal SHA-256 of the canonical JSON of ``data``."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()


def short_key(data: Any) -> str:
    """Return the first :data:`KEY_LENGTH` digits of :func:`digest`, as used in paths."""
    return digest(data)[:KEY_LENGTH]


@functools.cache
def source_digest(modules: tuple[str, ...]) -> str:
    """Return the digest of the import closure of ``modules`` (see the module's text for what counts)."""
    files = closure(modules)
    return digest({name: file_digest(path) for name, path in files.items()})


def closure(modules: Iterable[str]) -> dict[str, Path]:
    """Return the modules that ``modules`` import, directly or not, within the same top-level packages, with
    their files.

    ``modules`` themselves are included, and so are the ``__init__`` files that importing them runs.
    """
    waiting = list(modules)
    packages = {PACKAGE, *(module.partition(".")[0] for module in waiting)}
    found: dict[str, Path] = {}
    while waiting:
        module = waiting.pop()
        if module in found or module.partition(".")[0] not in packages:
            continue
        path = _module_file(module)
        if path is None:
            continue
        found[module] = path
        waiting.extend(_imports(path, module))
        waiting.append(module.rpartition(".")[0])
    return dict(sorted(found.items()))


@functools.cache
def _module_file(module: str) -> Path | None:
    if module == PACKAGE or module.startswith(PACKAGE + "."):
        base = ROOT.joinpath(*module.split(".")[1:])
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
        return None
    if not module:
        return None
    try:
        specification = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    if specification is None or specification.origin is None or not specification.origin.endswith(".py"):
        return None
    return Path(specification.origin)


@functools.cache
def _imports(path: Path, module: str) -> tuple[str, ...]:
    names: list[str] = []
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            names.append(base)
            names.extend(f"{base}.{alias.name}" for alias in node.names)
    return tuple(names)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if node.level == 0:
        return node.module or ""
    parts = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


@functools.cache
def file_digest(path: Path) -> str:
    """Return the digest of a Python file without its comments, docstrings and formatting."""
    tree = _tree(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


def _drop_docstring(node: Any) -> None:
    if ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:] or [ast.Pass()]


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: not valid Python: {error.msg}") from error
