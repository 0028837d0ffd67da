"""Read YAML and check it against a schema; errors are one line with file, key, value and what is allowed."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from counterpoise.errors import UserError, suggest
from counterpoise.files import read_text
from counterpoise.path_names import control_character, printable

Schema = TypeVar("Schema", bound=BaseModel)

LARGEST_YAML = 4 * 2**20
MOST_NODES = 100_000


class _Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """Safe YAML, with numbers as in YAML 1.2 (``1e-3`` is one). A key given twice and infinity are errors."""


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key_node.start_mark)
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key '{key}' is given twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


def _finite_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    value = loader.construct_yaml_float(node)
    if not math.isfinite(value):
        raise yaml.constructor.ConstructorError(None, None, f"{node.value} is not a finite number", node.start_mark)
    return value


_EXPONENT = re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$")
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)
_Loader.add_constructor("tag:yaml.org,2002:float", _finite_float)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


def load_yaml(path: Path, what: str) -> Any:
    """Read a YAML file; ``what`` names it in the error line (for example ``"benchmark"``)."""
    path = Path(path)
    if not path.exists():
        siblings = [file.stem for file in path.parent.glob("*.yaml")]
        raise UserError(f"{path}: there is no such {what}{suggest(path.stem, siblings)}")
    text = read_text(path, what, LARGEST_YAML)
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """Return what a YAML text holds; errors start with ``where``, a file or an option."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        _check_size(node, where)
        return None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        message = " ".join(part for part in (error.context, error.problem) if part)
        raise UserError(f"{where}{place}: not readable as YAML: {message}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{where}: not readable as YAML: {' '.join(str(error).split())}") from error


def _check_size(root: yaml.Node | None, where: str) -> None:
    """Refuse a text whose aliases, written out, make it huge: ten lines can stand for billions of values."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node | None) -> int:
        if node is None or isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) not in sizes:
            sizes[id(node)] = 1  # of an alias to a node around it
            inner = node.value if isinstance(node, yaml.SequenceNode) else [one for pair in node.value for one in pair]
            sizes[id(node)] = 1 + sum(map(size, inner))
        return sizes[id(node)]

    if size(root) > MOST_NODES:
        raise UserError(f"{where}: stands for more than {MOST_NODES:,} values")


def load_model(schema: type[Schema], path: Path, what: str) -> Schema:
    """Read a YAML file and check it against ``schema``."""
    return validate(schema, load_yaml(path, what), str(path))


def validate(schema: type[Schema], data: Any, where: str) -> Schema:
    """Check ``data`` against ``schema``; the first problem becomes a UserError that starts with ``where``."""
    if data is None:
        raise UserError(f"{where}: is empty; must be a mapping of keys to values")
    if not isinstance(data, dict):
        raise UserError(f"{where}: is {_short(data)}, must be a mapping of keys to values")
    text = control_character(data)
    if text is not None:
        raise UserError(f"{where}: a text in it has a control character: '{printable(text)[:60]}'")
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{where}: {printable(_sentence(schema, error))}") from error


KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "none_required": "nothing (null)",
}
LIMITS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
}


def _sentence(schema: type[BaseModel], error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    # A misspelt key is also a missing one: the misspelling says more.
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    place = _place(first)
    same = [problem for problem in problems if _place(problem) == place]
    others = len({_place(problem) for problem in problems}) - 1
    more = f" (and {others} more)" if others else ""
    kind = first["type"]
    if kind == "extra_forbidden":
        known = _fields_at(schema, first["loc"][:-1])
        return f"unknown key '{place}'{suggest(first['loc'][-1], known)}{more}"
    if kind == "missing":
        return f"the key '{place}' is missing{more}"
    value = _short(first["input"])
    wanted = [_wanted(problem) for problem in same]
    if all(wanted):
        return f"'{place}' is {value}, must be {' or '.join(dict.fromkeys(wanted))}{_near(first)}{more}"
    if kind in ("too_short", "too_long"):
        least = first["ctx"].get("min_length", first["ctx"].get("max_length"))
        word = "at least" if kind == "too_short" else "at most"
        return f"'{place}' is {value}, must have {word} {least} {'entry' if least == 1 else 'entries'}{more}"
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(first["input"], dict | list):
        return f"{place}: {message}{more}" if place else f"{message}{more}"
    return f"'{place}' is {value}: {message}{more}"


def _place(problem: Any) -> str:
    """Return the keys that lead to a problem; pydantic ends them with the type that it tried of several."""
    parts = [str(part) for part in problem["loc"] if not _is_tag(part)]
    if len(parts) > 1 and parts[-1] in ("int", "float", "str", "bool", "none"):
        parts.pop()
    return ".".join(parts)


def _is_tag(part: Any) -> bool:
    """Return whether a part of a location is no key but the class, as ``:Name``, that was chosen of several."""
    return isinstance(part, str) and part.startswith(":")


def _wanted(problem: Any) -> str:
    """Return what the value must be, or nothing where pydantic's own words say it best."""
    if problem["type"] == "literal_error":
        return problem["ctx"]["expected"]
    if problem["type"] == "string_pattern_mismatch":
        return f"text of the form {problem['ctx']['pattern']}"
    if problem["type"] in LIMITS:
        return LIMITS[problem["type"]].format(**problem["ctx"])
    return KINDS.get(problem["type"], "")


def _near(problem: Any) -> str:
    """Return ``"; did you mean 'x'?"`` for a word close to one of the allowed ones."""
    if problem["type"] != "literal_error":
        return ""
    hint = suggest(problem["input"], re.findall(r"'([^']*)'", problem["ctx"]["expected"]))
    return hint.partition(" allowed:")[0].rstrip(";")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fields_at(schema: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Return the field names of the sub-schema that an error's ``location`` points into."""
    current: Any = schema
    for part in location:
        current = _descend(current, part)
        if current is None:
            return []
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _descend(current: Any, part: Any) -> Any:
    if isinstance(current, type) and issubclass(current, BaseModel) and part in current.model_fields:
        annotation = current.model_fields[part].annotation
    else:
        annotation = current
    if _is_tag(part):
        return next((found for found in _models(annotation) if found.__name__ == part[1:]), None)
    inner = [found for found in _models(annotation) if found is not current]
    return inner[0] if len(inner) == 1 else annotation  # of several, a tag says which


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models(inner)
