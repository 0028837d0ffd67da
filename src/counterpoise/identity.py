"""Digests that name things: canonical JSON of a configuration, and the source that can change a result.

The source digest of a set of modules covers their import closure inside the package, found from the syntax
tree without importing anything. Comments, docstrings and formatting do not count: each file enters as its
syntax tree, written in a form that is the same in every supported version of Python (docs/design.md,
Identity).
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
    return digest({name: file_digest(path) for name, path in closure(modules).items()})


def closure(modules: Iterable[str]) -> dict[str, Path]:
    """Return all modules that ``modules`` import, directly or not, with their files, sorted by name.

    Only the top-level packages of ``modules`` and this one are followed: what else is installed is named by
    version in a run's record. ``modules`` themselves are included, and the ``__init__`` files that importing
    them runs.
    """
    waiting = list(modules)
    packages = {PACKAGE, *(module.partition(".")[0] for module in waiting)}
    found: dict[str, Path] = {}
    while waiting:
        module = waiting.pop()
        if module in found or module.partition(".")[0] not in packages:
            continue
        path = module_file(module)
        if path is None:
            continue
        found[module] = path
        waiting.extend(_imported(_source(path), module, path.name == "__init__.py"))
        waiting.append(module.rpartition(".")[0])
    return dict(sorted(found.items()))


@functools.cache
def module_file(module: str) -> Path | None:
    """Return a module's source file without importing it or its parents; ``None`` if it has none."""
    top, *inner = module.split(".")
    specification = None if top == PACKAGE else _find(top)
    if top != PACKAGE and specification is None:
        return None
    if not inner and specification is not None:
        return Path(specification.origin) if (specification.origin or "").endswith(".py") else None
    folders = [ROOT] if specification is None else (specification.submodule_search_locations or [])
    for folder in folders:
        base = Path(folder, *inner)
        for candidate in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def _find(top: str) -> Any:
    try:
        return importlib.util.find_spec(top) if top else None
    except (ModuleNotFoundError, ValueError):  # ValueError: a module made by hand, without a specification
        return None


def _imported(source: _Source, module: str, is_package: bool) -> Iterator[str]:
    """Yield everything that the import statements of ``module`` may mean as modules."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for level, base, names in source.imports:
        start = package[: len(package) - level + 1] if level else []
        target = ".".join([*start, *([base] if base else [])])
        yield target
        yield from (f"{target}.{name}" for name in names)


def file_digest(path: Path) -> str:
    """Return the digest of a Python file without its comments, docstrings and formatting."""
    return _source(path).digest


@dataclass(frozen=True)
class _Source:
    """What is kept of a source file: its digest, and its imports as (level, module, names)."""

    digest: str
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]


@functools.cache
def _source(path: Path) -> _Source:
    tree = parse(path)
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.extend((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    text: list[str] = []
    _write(tree, text)
    return _Source(hashlib.sha256("".join(text).encode()).hexdigest(), tuple(imports))


def _write(node: Any, text: list[str]) -> None:
    """Append a syntax tree to ``text``.

    Left out is what is not there (fields that only newer versions of Python have are then absent in older
    ones, too), what follows from the position (``ctx``), and statements that do nothing: ``pass`` and lone
    strings.
    """
    if isinstance(node, ast.AST):
        text.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            if name in ("ctx", "kind", "type_comment") or value is None or value == []:
                continue
            text.append(f"{name}=")
            _write(_joined(value) if isinstance(node, ast.JoinedStr) else value, text)
        text.append(")")
    elif isinstance(node, list):
        text.append("[")
        for item in node:
            if not _does_nothing(item):
                _write(item, text)
                text.append(",")
        text.append("]")
    else:
        text.append(ascii(node))


def _does_nothing(node: Any) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.Pass)


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """Join the literal parts of an f-string: some versions of Python cut them, or put empty ones between."""
    joined: list[ast.expr] = []
    for part in parts:
        if not isinstance(part, ast.Constant):
            joined.append(part)
        elif joined and isinstance(joined[-1], ast.Constant):
            joined[-1] = ast.Constant(joined[-1].value + part.value)
        elif part.value != "":
            joined.append(part)
    return joined


def parse(path: Path) -> ast.Module:
    """Return a source file's syntax tree; UserError with the line where it is not valid Python."""
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: not valid Python: {error.msg}") from error
