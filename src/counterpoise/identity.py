"""Digests that name things: canonical JSON of a configuration, and the source that can change a result.

The source digest of a set of modules covers their import closure inside the package, read from the syntax tree
without importing anything. Each file enters as its syntax tree, written in a form that is the same in every supported
version of Python, without what computes no number: comments, docstrings, formatting, types in signatures, imports for
type checkers, and the words of errors (docs/design.md, Identity).
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.util
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import counterpoise
from counterpoise import loading
from counterpoise.errors import UserError

PACKAGE = "counterpoise"
ROOT = Path(counterpoise.__file__).parent
KEY_LENGTH = 12
# These compute no number. The package's own file offers an API; what is declared (a setting's default, its bounds)
# reaches a run through its resolved configuration, which is in its key; the others find files, write them and show
# progress, and what is written is checked by digest.
NOT_FOLLOWED = {PACKAGE} | {
    f"{PACKAGE}.{module}"
    for module in (
        *("errors", "declare", "files", "identity", "loading", "locks", "path_names", "validation", "components"),
        *("data.progress", "data.sources", "data.work"),
    )
}


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

    ``modules`` themselves are included, and the ``__init__`` files that importing them runs. Only this package and
    the top-level packages of ``modules`` are followed: of what else is installed, a run's record names the versions.
    """
    waiting = list(modules)
    packages = {PACKAGE, *(module.partition(".")[0] for module in waiting)}
    found: dict[str, Path] = {}
    while waiting:
        module = waiting.pop()
        if module in found or module in NOT_FOLLOWED or module.partition(".")[0] not in packages:
            continue
        path = module_file(module)
        if path is None:
            continue
        found[module] = path
        waiting.extend(_imported(_source(path), module, path.name == "__init__.py"))
        waiting.append(module.rpartition(".")[0])
    return dict(sorted(found.items()))


def check_loaded(modules: tuple[str, ...], planned: str | None = None) -> None:
    """Check that this process has loaded the very source that was planned.

    Everything in the closure of ``modules`` is imported, so that nothing is read from the disk later.

    Args:
        planned: the :func:`source_digest` that a key was made of; default: what this process took when it planned.

    Raises:
        UserError: a file was edited between planning and its import; names it.
    """
    planned = source_digest(modules) if planned is None else planned
    found = {}
    for name, path in closure(modules).items():
        importlib.import_module(name)
        text = loading.loaded_text(name)
        found[name] = text_digest(path.read_bytes() if text is None else text, path)
        if found[name] != file_digest(path):
            raise UserError(f"{path}: was edited after this process had planned; run the same command again")
    if digest(found) != planned:
        raise UserError(
            f"{', '.join(modules)}: the source that is loaded is not the one that was planned (its digest is "
            f"{digest(found)[:KEY_LENGTH]}, planned was {planned[:KEY_LENGTH]}); run the same command again"
        )


def check_unchanged(modules: tuple[str, ...]) -> None:
    """Check that the source on the disk is still the one that this process has read.

    Raises:
        UserError: a file in the closure of ``modules`` was edited; names it.
    """
    for path in closure(modules).values():
        if text_digest(path.read_bytes(), path) != file_digest(path):
            raise UserError(
                f"{path}: was edited while this was made; what is finished is kept: undo the edit, or run the same "
                "command again to make it anew"
            )


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
    """Return the digest of a Python file, of what in it can change a number."""
    return _source(path).digest


def text_digest(text: bytes, path: Path) -> str:
    """Return the digest of a text of the source file at ``path``, as :func:`file_digest`."""
    known = _source(path)
    return known.digest if text == known.text else _digest_of(_parse(text, path))


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What is kept of a source file: its text, the digest of that, and its imports as (level, module, names)."""

    text: bytes
    digest: str
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]


@functools.cache
def _source(path: Path) -> _Source:
    text = path.read_bytes()
    tree = _parse(text, path)
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            imports.extend((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return _Source(text=text, digest=_digest_of(tree), imports=tuple(imports))


def _digest_of(tree: ast.Module) -> str:
    text: list[str] = []
    _write(tree, text)
    return hashlib.sha256("".join(text).encode()).hexdigest()


# Where statements have further ones. Expressions have none, and they are most of a tree.
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield every statement, inner ones too, but those that only a type checker reads."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if not _is_for_type_checkers(node):
            yield node
            for block in _BLOCKS:
                waiting.extend(getattr(node, block, ()))


# Fields of the syntax tree that change no number: what follows from the position, and types in signatures.
_LEFT_OUT = {"arg": {"annotation"}, "FunctionDef": {"returns"}, "AsyncFunctionDef": {"returns"}}
_LEFT_OUT_EVERYWHERE = {"ctx", "kind", "type_comment"}


@functools.cache
def _fields(kind: str) -> tuple[str, ...]:
    """Return the fields of a kind of node that enter its digest."""
    left_out = _LEFT_OUT_EVERYWHERE | _LEFT_OUT.get(kind, set())
    return tuple(field for field in getattr(ast, kind)._fields if field not in left_out)


def _write(node: Any, text: list[str]) -> None:
    """Append a syntax tree to ``text``, without what does nothing (:func:`_does_nothing`).

    Empty fields are left out, so that a field that only newer versions of Python have changes no digest.
    """
    if isinstance(node, ast.AST):
        kind = type(node).__name__
        text.append(f"{kind}(")
        for field in _fields(kind):
            value = getattr(node, field, None)
            if value is None or value == []:
                continue
            if isinstance(node, ast.Raise):
                value = _without_words(value)
            text.append(f"{field}=")
            _write(_joined(value) if isinstance(node, ast.JoinedStr) else value, text)  # type: ignore[arg-type]
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


def _without_words(raised: ast.expr) -> ast.expr:
    """Return which exception is raised, without what it is told."""
    return raised.func if isinstance(raised, ast.Call) else raised


def _does_nothing(node: Any) -> bool:
    """Return whether a statement can change no number: ``pass``, lone strings, imports of errors or for types."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.ImportFrom):
        return node.level == 0 and node.module in NOT_FOLLOWED - {PACKAGE}
    return isinstance(node, ast.Pass) or _is_for_type_checkers(node)


def _is_for_type_checkers(node: Any) -> bool:
    """Return whether a statement is an ``if TYPE_CHECKING:`` without an else."""
    if not isinstance(node, ast.If) or node.orelse:
        return False
    test = node.test
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """Join the literal parts of an f-string: some versions of Python cut them, or put empty ones between."""
    joined: list[ast.expr] = []
    for part in parts:
        if not isinstance(part, ast.Constant):
            joined.append(part)
        elif joined and isinstance(joined[-1], ast.Constant):
            joined[-1] = ast.Constant(joined[-1].value + part.value)  # type: ignore[operator]  # both are texts
        elif part.value != "":
            joined.append(part)
    return joined


def parse(path: Path) -> ast.Module:
    """Return a source file's syntax tree; UserError with the line where it is not valid Python."""
    return _parse(path.read_bytes(), path)


def _parse(text: bytes, path: Path) -> ast.Module:
    try:
        return ast.parse(text, filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        place = f"{path}:{line}" if line else str(path)
        raise UserError(f"{place}: not valid Python: {getattr(error, 'msg', error)}") from error
