"""Read YAML and check it against a schema; errors are one line with file, key, value and what is allowed."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from counterpoise.errors import UserError, suggest

Schema = TypeVar("Schema", bound=BaseModel)


class _Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error and ``1e-3`` is a number, as in YAML 1.2."""


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{key}' is given twice", key_node.start_mark
            )
        seen.add(key)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_EXPONENT = re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$")
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


def load_yaml(path: Path, what: str) -> Any:
    """Read a YAML file; ``what`` names it in the error line (for example ``"benchmark"``)."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        siblings = [file.stem for file in Path(path).parent.glob("*.yaml")]
        raise UserError(f"{path}: there is no such {what}{suggest(Path(path).stem, siblings)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the {what} cannot be read: {error}") from error
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error


def load_model(schema: type[Schema], path: Path, what: str) -> Schema:
    """Read a YAML file and check it against ``schema``."""
    return validate(schema, load_yaml(path, what), str(path))


def validate(schema: type[Schema], data: Any, where: str) -> Schema:
    """Check ``data`` against ``schema``; the first problem becomes a UserError that starts with ``where``."""
    if not isinstance(data, dict):
        raise UserError(f"{where}: must be a mapping of keys to values, got {type(data).__name__}")
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{where}: {_sentence(schema, error)}") from error


def _sentence(schema: type[BaseModel], error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    first = problems[0]
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _fields_at(schema, first["loc"][:-1])
        return f"unknown key '{place}'{suggest(first['loc'][-1], known)}{more}"
    if first["type"] == "missing":
        return f"the key '{place}' is missing{more}"
    if first["type"] == "literal_error":
        return f"'{place}' is {first['input']!r}, must be {first['ctx']['expected']}{_near(first)}{more}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"'{place}' is {_short(first['input'])}: {message}{more}" if place else f"{message}{more}"


def _near(problem: Any) -> str:
    choices = [choice.strip(" '") for choice in problem["ctx"]["expected"].replace(" or ", ", ").split(",")]
    hint = suggest(problem["input"], choices)
    return hint.split(" allowed:")[0].rstrip(";") if "did you mean" in hint else ""


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
    for candidate in (annotation, *typing.get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel) and candidate is not current:
            return candidate
    return annotation
