"""Write ``docs/reference/``: ``python docs/generators/reference.py docs/reference``.

The page of commands comes from the command line itself, the page of configuration files and the JSON schemas (which
editors can check YAML with) from the models that read them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from pydantic import BaseModel

from counterpoise import files
from counterpoise.papers.claims import ClaimsFile
from counterpoise.papers.figures import FiguresFile
from counterpoise.papers.paper import _PaperFile as PaperFile
from counterpoise.papers.tables import PaperTable
from counterpoise.planning.benchmark import Benchmark
from counterpoise.planning.configs import DatasetConfig, MethodConfig, ModelConfig
from counterpoise.protocol import Protocol

SCHEMAS: dict[str, tuple[type[BaseModel], str]] = {
    "benchmark": (Benchmark, "configs/benchmarks/*.yaml"),
    "dataset": (DatasetConfig, "configs/datasets/*.yaml"),
    "model": (ModelConfig, "configs/models/*.yaml"),
    "protocol": (Protocol, "configs/protocols/**/*.yaml"),
    "method": (MethodConfig, "configs/methods/*.yaml"),
    "paper": (PaperFile, "configs/papers/*/paper.yaml"),
    "table": (PaperTable, "configs/papers/*/<table>.yaml"),
    "claims": (ClaimsFile, "configs/papers/*/claims.yaml"),
    "figures": (FiguresFile, "configs/papers/*/figures.yaml"),
}
NOTICE = "*Written by `python docs/generators/reference.py docs/reference`; a test holds it equal to the source.*"


def pages() -> dict[str, str]:
    """Return the text of every file below ``docs/reference`` that is generated, by name."""
    schemas = {name: model.model_json_schema() for name, (model, _) in SCHEMAS.items()}
    return {
        "commands.md": "\n\n".join(["# Commands", NOTICE, *_commands()]) + "\n",
        "configs.md": "\n\n".join(["# Configuration files", NOTICE, _HOW, *_configs(schemas)]) + "\n",
        **{f"schemas/{name}.json": files.json_text(schema, sort_keys=False) for name, schema in schemas.items()},
    }


_HOW = (
    "Unknown keys are errors, with the nearest right spelling. An editor checks a file while you type if its first "
    "line names the schema: `# yaml-language-server: $schema=<path or address of schemas/benchmark.json>`. "
    "Sections `tiny` (laid over the rest at `scale: tiny`) and `factors` (what `explain` flips) are allowed besides in "
    "datasets, models, methods and protocols."
)


def walk() -> Iterator[tuple[str, Any]]:
    """Yield every command that the help shows, by its full name."""
    from counterpoise.cli import data
    from counterpoise.cli.app import app

    groups = {"counterpoise data": typer.main.get_command(data.app)}

    def below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        command = groups.get(name, command)
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
            return
        for word, found in inner.items():
            if not found.hidden:
                yield from below(f"{name} {word}", found)

    yield from below("counterpoise", typer.main.get_command(app))


def _commands() -> Iterator[str]:
    for name, command in walk():
        yield f"## {name}"
        yield " ".join((command.help or "").split())
        rows = [row for parameter in command.params if (row := _parameter(parameter))]
        if rows:
            yield "\n".join(["| option | what it does |", "|---|---|", *rows])


def _parameter(parameter: Any) -> str:
    if getattr(parameter, "hidden", False) or parameter.name == "help":
        return ""
    if parameter.param_type_name == "argument":
        names = parameter.metavar or parameter.name.upper()
    else:
        names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return f"| `{names.replace('|', chr(92) + '|')}` | {' '.join((parameter.help or '').split())} |"


def _configs(schemas: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, schema in schemas.items():
        yield f"## {name}"
        yield f"`{SCHEMAS[name][1]}` ([schema](schemas/{name}.json))"
        for title, part in {"": schema, **schema.get("$defs", {})}.items():
            if "properties" not in part:
                continue
            if title:
                yield f"**{title}**"
            if part.get("description"):
                yield " ".join(part["description"].replace("``", "`").split())
            required = part.get("required", [])
            rows = [_property(key, value, key in required) for key, value in part["properties"].items()]
            yield "\n".join(["| key | type | default | what it says |", "|---|---|---|---|", *rows])


def _property(key: str, value: dict[str, Any], required: bool) -> str:
    default = "required" if required else f"`{value['default']!r}`" if "default" in value else ""
    text = " ".join(value.get("description", "").split())
    return f"| `{key}` | {_type(value)} | {default.replace('|', chr(92) + '|')} | {text.replace('|', chr(92) + '|')} |"


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        return value["$ref"].rpartition("/")[2]
    several = value.get("anyOf") or value.get("oneOf")
    if several:
        return " or ".join(dict.fromkeys(map(_type, several)))
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if value.get("type") == "array" and isinstance(value.get("items"), dict):
        return f"list of {_type(value['items'])}"
    for inner in value.get("patternProperties", {}).values():
        return f"mapping to {_type(inner)}"
    if value.get("type") == "object" and isinstance(value.get("additionalProperties"), dict):
        return f"mapping to {_type(value['additionalProperties'])}"
    return {"object": "mapping", "array": "list", "null": "nothing"}.get(
        value.get("type", "any"), value.get("type", "any")
    )


def write(folder: Path) -> None:
    """Write all of it."""
    for name, text in pages().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        files.write_text(folder / name, text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
