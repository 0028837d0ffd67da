"""Write ``docs/papers.md``: ``python docs/generators/papers_page.py docs/papers.md``.

Which target gives which table and figure, with the number of runs that its benchmark plans for it, and what the papers
leave open: each choice is a named setting, listed with its reason in ``configs/papers/<paper>/choices.yaml``.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict

from counterpoise import files
from counterpoise.components import component, components
from counterpoise.errors import UserError, suggest
from counterpoise.papers.figures import Figure
from counterpoise.papers.paper import Paper, paper_names
from counterpoise.papers.tables import table_name
from counterpoise.planning.benchmark import Benchmark
from counterpoise.planning.plan import Cell, Plan, make_plan
from counterpoise.validation import load_model, load_yaml

PARTS = ("mnist", "mosi", "grid")
"""Benchmarks of single columns, on public data or on a stand-in."""
KINDS = ("method", "dataset", "encoder", "fusion")


class Choice(BaseModel):
    """Something that a paper leaves open, the setting that decides it, and why it has the value it has.

    ``setting`` is ``<place>: <key>``; the place is a file below ``configs/`` without its suffix
    (``datasets/cg_mnist``), a component (``method/pmr``), or ``benchmark``, for what any benchmark may set.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str
    setting: str
    reason: str


class _Choices(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    paper: str
    choices: tuple[Choice, ...]


def page(root: Path) -> str:
    """Return the text of ``docs/papers.md`` for the project at ``root``."""
    papers = paper_names(root / "configs")  # each has a benchmark of its name that has it in full
    plans = {name: make_plan(root, _benchmark(root, name)) for name in (*papers, *PARTS)}
    template = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True
    ).get_template("papers_page.md.j2")
    text = template.render(
        papers=["\n".join(_paper(plans[name], name)) for name in papers],
        parts="\n".join(_parts(plans)),
        open=["\n".join(_open(root, plans[name].papers[name])) for name in papers],
        claims=["\n".join(_claims(plans[name].papers[name])) for name in papers],
        kinds="\n".join(_components("figure_kind", "kind")),
        measurements="\n".join(_components("measurement", "measurement")),
    )
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def load_choices(configs: Path, paper: str) -> tuple[Choice, ...]:
    """Read ``papers/<paper>/choices.yaml``."""
    return load_model(_Choices, configs / "papers" / paper / "choices.yaml", "choices").choices


def value_of(configs: Path, setting: str) -> Any:
    """Return the value that a choice's setting has as the repository stands.

    Raises:
        UserError: there is no such file, component or key.
    """
    place, _, key = setting.partition(": ")
    kind, _, name = place.partition("/")
    if place == "benchmark":
        first, *inner = key.split(".")
        return _walk(_default(first, setting), inner, setting)
    if kind in KINDS:
        settings = component(kind, name, setting).settings
        if key not in settings:
            raise UserError(f"{setting}: {kind} '{name}' has no such setting{suggest(key, settings)}")
        return settings[key].default
    return _walk(load_yaml(configs / f"{place}.yaml", "configuration"), key.split("."), setting)


def _default(name: str, setting: str) -> Any:
    fields = Benchmark.model_fields
    if name not in fields:
        raise UserError(f"{setting}: a benchmark has no key '{name}'{suggest(name, fields)}")
    value = fields[name].get_default(call_default_factory=True)
    return value.model_dump() if isinstance(value, BaseModel) else value


def _walk(value: Any, keys: list[str], setting: str) -> Any:
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            known = value if isinstance(value, dict) else []
            raise UserError(f"{setting}: there is no key '{key}'{suggest(key, known)}")
        value = value[key]
    return value


def _benchmark(root: Path, name: str) -> Path:
    return root / f"configs/benchmarks/{name}.yaml"


def _paper(plan: Plan, name: str) -> Iterator[str]:
    paper = plan.papers[name]
    runs = len(plan.cells) * len(plan.seeds)
    datasets = ", ".join(f"`{data.name}`" for data in plan.datasets)
    yield f"## {paper.short_title}, `configs/benchmarks/{name}.yaml`: {runs} runs\n"
    seeds = ", ".join(map(str, plan.seeds))
    yield (
        f"{len(plan.cells)} cells with the seeds {seeds}, each run a job of its own; what several tables "
        f"need runs once. Selection: `{plan.benchmark.selection}`. Datasets: {datasets}.\n"
    )
    yield "| file below `results/<benchmark>/` | what it shows | where in the paper | runs |"
    yield "|---|---|---|---|"
    for run in plan.benchmark.tables:
        table = paper.tables[run.table]
        values = (v for v in plan.values if (v.paper, v.table) == (name, run.table))
        number = _runs(plan, (value.cell for value in values))
        numbered = (
            [table_name(run.table)] if re.search(r"\d", run.table) else []
        )  # others are ours, of what a section says
        where = ", ".join([*numbered, f"Section {table.section}"])
        yield f"| `tables/{name}/{run.table}.md` | {table.title} | {where} | {number} |"
    for planned in plan.figures:
        figure = planned.figure
        number = _runs(plan, (cell for _, cell, _ in planned.cells))
        if figure.table:
            number = f"those of {table_name(figure.table)}"
        target = f"figures/{name}/{figure.name}.svg"
        yield f"| `{target}` | {figure.title} | {table_name(figure.name)} | {number or 'none: a formula'} |"


def _runs(plan: Plan, cells: Iterable[Cell | None]) -> int | str:
    """Return how many runs cells and what they start from take."""
    found = {c.name for cell in cells if cell for c in (cell, *(parent for _, parent in cell.parents))}
    return len(found) * len(plan.seeds)


def _parts(plans: dict[str, Plan]) -> Iterator[str]:
    yield "## Parts of them, on public data\n"
    yield "| benchmark | what it is | tables and figures | runs |"
    yield "|---|---|---|---|"
    for name in PARTS:
        plan = plans[name]
        targets = [table for _, table in plan.tables] + [planned.figure.name for planned in plan.figures]
        runs = len(plan.cells) * len(plan.seeds)
        title = plan.benchmark.title
        yield f"| `configs/benchmarks/{name}.yaml` | {title} | {', '.join(map(table_name, targets))} | {runs} |"


def _open(root: Path, paper: Paper) -> Iterator[str]:
    yield f"## What {paper.short_title} leaves open\n"
    yield "| what | setting | value | why |"
    yield "|---|---|---|---|"
    for choice in load_choices(root / "configs", paper.paper):
        value = _text(value_of(root / "configs", choice.setting))
        yield f"| {_cell(choice.what)} | `{choice.setting}` | `{value}` | {_cell(choice.reason)} |"
    chosen = [(figure, text) for figure in paper.figures.values() for text in figure.chosen(_figure_settings(figure))]
    if chosen:
        yield f"\nIn figures (`configs/papers/{paper.paper}/figures.yaml`; said under each of them, too):\n"
    for figure, text in chosen:
        yield f"- {table_name(figure.name)}: {text}."


def _claims(paper: Paper) -> Iterator[str]:
    """Yield how many claims rest on which tables, and the sentences that are no claims, with the reasons."""
    counts = Counter(table for claim in paper.claims for table in claim.test.tables)
    rested = ", ".join(f"{table_name(table)} ({counts[table]})" for table in paper.tables if counts[table])
    yield f"## What {paper.short_title} claims\n"
    yield (
        f"{len(paper.claims)} formal claims (`configs/papers/{paper.paper}/claims.yaml`), by the tables that they rest "
        f"on: {rested}. A claim may rest on several.\n"
    )
    yield "No experiment here could bear out:\n"
    for sentence in paper.left_out:
        yield f"- “{_cell(sentence.quote)}” ({_where(sentence.section)}): {_cell(sentence.reason)}."


def _where(section: str) -> str:
    return section if " " in section or section == "Abstract" else f"Section {section}"


def _figure_settings(figure: Figure) -> dict[str, Any]:
    settings = component("figure_kind", figure.kind).resolve(figure.settings, figure.name)
    if figure.measure is not None:
        settings |= component("measurement", figure.measure.name).resolve(figure.measure.settings, figure.name)
    return settings


def _components(kind: str, header: str) -> Iterator[str]:
    """Yield a table of all components of a kind, with their settings."""
    yield f"| {header} | what it is | settings |"
    yield "|---|---|---|"
    for name, found in sorted(components(kind).items()):
        settings = [
            f"`{info.name}` (`{_text(info.default)}`)" + (f" {info.bounds.doc}" if info.bounds.doc else "")
            for info in found.settings.values()
        ]
        yield f"| `{name}` | {found.info.title} | {_cell('; '.join(settings)) or 'none'} |"


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and not value:
        return "empty"
    if isinstance(value, dict) and value:
        return ", ".join(f"{key}: {_text(inner)}" for key, inner in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    files.write_text(Path(sys.argv[1]), page(Path()))
