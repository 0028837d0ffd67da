"""Find components and read their declarations without importing them.

Methods, datasets, encoders, fusions, measurements and kinds of figures are components.

Declarations are literal by rule (:mod:`counterpoise.declare`): the source text says all that planning needs.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import importlib.metadata
import re
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

import counterpoise
from counterpoise import loading
from counterpoise.declare import INFO_TYPES, Bounds
from counterpoise.errors import UserError, suggest
from counterpoise.identity import module_file, parse
from counterpoise.validation import validate

PACKAGE = Path(counterpoise.__file__).parent
NAME = re.compile(r"[A-Za-z0-9_]+")
FOLDERS = {
    "method": "methods",
    "dataset": "data",
    "encoder": "models",
    "fusion": "models",
    "measurement": "engine/measurements",
    "figure_kind": "reporting/figures/kinds",
}
TYPES: dict[str, Any] = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "None": None,
    "Any": Any,
    "list": list,
    "tuple": tuple,
    "dict": dict,
}


@dataclass(frozen=True)
class SettingInfo:
    """One setting of a component: its annotation as a Python type, its default and its bounds."""

    name: str
    type: Any
    default: Any
    bounds: Bounds


@dataclass(frozen=True)
class Component:
    """A declared component: where it is, what it is, and its settings by name."""

    kind: str
    name: str
    module: str
    file: Path
    class_name: str
    info: Any
    settings: dict[str, SettingInfo]

    def resolve(self, given: dict[str, Any], where: str) -> dict[str, Any]:
        """Return all settings with ``given`` over the defaults; UserError for unknown or wrong ones."""
        return validate(self._schema, given, where).model_dump(mode="json")

    def load(self) -> type:
        """Import the component's module and return its class."""
        top = self.module.partition(".")[0]
        loading.keep_source(None if top == "counterpoise" else top)
        return getattr(importlib.import_module(self.module), self.class_name)

    @functools.cached_property
    def _schema(self) -> type[BaseModel]:
        fields = {name: _field(info) for name, info in self.settings.items()}
        return create_model(f"{self.kind} {self.name}", __base__=_Settings, **fields)


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _field(info: SettingInfo) -> Any:
    bounds = info.bounds
    annotation: Any = info.type
    if bounds.choices is not None:
        annotation = Literal[tuple(bounds.choices)]
    bounded = {"gt": bounds.above, "lt": bounds.below, "ge": bounds.minimum, "le": bounds.maximum}
    limits: dict[str, Any] = {key: value for key, value in bounded.items() if value is not None}
    if limits:
        annotation = Annotated[annotation, Field(**limits)]
    if typing.get_origin(annotation) is tuple:  # a tuple is a list in YAML
        annotation = Annotated[annotation, Field(strict=False)]
    return (annotation, info.default)


def component(kind: str, name: str, where: str = "") -> Component:
    """Return the component ``name`` of a ``kind``, built in or third-party.

    Raises:
        UserError: no such component; names ``where`` it was asked for and the nearest right spelling.
    """
    found = components(kind)
    if name not in found:
        prefix = f"{where}: " if where else ""
        raise UserError(f"{prefix}unknown {kind.replace('_', ' ')} '{name}'{suggest(name, found)}")
    return found[name]


def load_class(kind: str, name: str) -> type:
    """Import a component's module and return its class."""
    return component(kind, name).load()


@functools.cache
def components(kind: str) -> dict[str, Component]:
    """Return all components of a ``kind`` by name: built-in ones, then those of entry points.

    The group of an entry point is ``counterpoise.<kind>s``, for example ``counterpoise.methods``.
    """
    found: dict[str, Component] = {}
    folder = PACKAGE / FOLDERS[kind]
    for file in sorted(folder.rglob("*.py")):
        module = ".".join(("counterpoise", *file.relative_to(PACKAGE).with_suffix("").parts))
        _add(found, read_components(kind, module, file))
    group = f"counterpoise.{kind}s"
    for entry in importlib.metadata.entry_points(group=group):
        module = entry.value.partition(":")[0]
        outside = module_file(module)
        if outside is None:
            raise UserError(f"entry point {entry.name} of group {group}: no module '{module}'")
        _add(found, read_components(kind, module, outside))
    return found


def _add(found: dict[str, Component], new: list[Component]) -> None:
    for item in new:
        if item.name in found:
            raise UserError(
                f"{item.file}: the {item.kind} '{item.name}' is already declared in {found[item.name].file}"
            )
        found[item.name] = item


def read_components(kind: str, module: str, file: Path) -> list[Component]:
    """Read the declarations of a ``kind`` in one source file."""
    if f"@{kind}" not in file.read_text(encoding="utf-8"):
        return []
    found = []
    for node in parse(file).body:
        if isinstance(node, ast.ClassDef):
            call = _declaration(node, kind)
            if call is not None:
                found.append(_read_class(kind, module, file, node, call))
    return found


def _declaration(node: ast.ClassDef, kind: str) -> ast.Call | None:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == kind:
            return decorator
    return None


def _read_class(kind: str, module: str, file: Path, node: ast.ClassDef, call: ast.Call) -> Component:
    info = _declared(INFO_TYPES[kind], _literal_keywords(call, file), f"{file}:{call.lineno}: @{kind}")
    for name in (info.name, *getattr(info, "variants", {})):
        if not NAME.fullmatch(name):  # it becomes part of paths
            raise UserError(f"{file}:{call.lineno}: @{kind}: '{name}' must be of letters, digits and '_'")
    if kind == "method":
        _check_family(info.family, node, f"{file}:{call.lineno}: @method")
    settings = {}
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            value = statement.value
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "setting":
                settings[statement.target.id] = _read_setting(statement.target.id, statement.annotation, value, file)
    return Component(kind, info.name, module, file, node.name, info, settings)


FAMILIES = {"loss": "LossMethod", "modulation": "ModulationMethod", "integration": "IntegrationMethod"}
"""Family of a method -> the class that it is made from; the class decides how it is trained."""


def _check_family(family: str, node: ast.ClassDef, where: str) -> None:
    if family not in FAMILIES:
        raise UserError(f"{where}: unknown family '{family}'{suggest(family, FAMILIES)}")
    bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    for other, base in FAMILIES.items():
        if base in bases and other != family:
            raise UserError(f"{where}: says family '{family}', and its class is a {base}, of family '{other}'")


def _declared(schema: type, keywords: dict[str, Any], where: str) -> Any:
    """Return ``schema(**keywords)``; UserError for keywords that it has not or misses."""
    known = {field.name: field for field in dataclasses.fields(schema)}
    for name in keywords:
        if name not in known:
            raise UserError(f"{where}: unknown keyword '{name}'{suggest(name, known)}")
    for name, field in known.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in keywords:
            raise UserError(f"{where}: the keyword '{name}' is missing")
    return schema(**keywords)


def _read_setting(name: str, annotation: ast.expr, call: ast.Call, file: Path) -> SettingInfo:
    keywords = _literal_keywords(call, file)
    where = f"{file}:{call.lineno}: setting '{name}'"
    if not call.args and "default" not in keywords:
        raise UserError(f"{where}: has no default")
    default = _literal(call.args[0], file) if call.args else keywords.pop("default")
    return SettingInfo(name, _annotation(annotation, file), default, _declared(Bounds, keywords, where))


def _literal_keywords(call: ast.Call, file: Path) -> dict[str, Any]:
    return {str(keyword.arg): _literal(keyword.value, file) for keyword in call.keywords}


def _literal(node: ast.expr, file: Path) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        text = ast.unparse(node)
        raise UserError(f"{file}:{node.lineno}: '{text}' must be a literal: declarations are read, not run") from error


def _annotation(node: ast.expr, file: Path) -> Any:
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.Name) and node.id in TYPES:
        return TYPES[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _annotation(node.left, file) | _annotation(node.right, file)
    if isinstance(node, ast.Subscript):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        arguments = tuple(
            Ellipsis if isinstance(p, ast.Constant) and p.value is ... else _annotation(p, file) for p in parts
        )
        return _annotation(node.value, file)[arguments]
    raise UserError(f"{file}:{node.lineno}: '{ast.unparse(node)}' is no type that a setting may have")
