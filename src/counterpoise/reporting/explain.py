"""An explanation in words: on the terminal, and as Markdown, CSV and JSON."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from counterpoise.files import write_json, write_text
from counterpoise.judging.compare import as_csv
from counterpoise.judging.explain import LEVEL, Effect, Explanation, Question, record
from counterpoise.judging.verdicts import Verdict
from counterpoise.planning.plan import Plan
from counterpoise.reporting.plan import estimate_lines
from counterpoise.reporting.words import difference_unit
from counterpoise.results.explained import FOLDER, strongest_first
from counterpoise.runs.estimate import read_recorded
from counterpoise.runs.status import run_status

COLUMNS = (
    "name",
    "factor",
    "from",
    "to",
    "n",
    "effect",
    "low",
    "high",
    "p_holm",
    "gap",
    "recovered",
    "reason",
    "cell",
    "source",
)


def plan_lines(plan: Plan, root: Path, question: Question) -> Iterator[str]:
    """Yield what explaining a number would run: every flip, its cell, and the runs to do."""
    yield f"{question.name}: {question.cell.name}"
    yield f"  selection  {plan.benchmark.selection} -> the other recorded ones: no run"
    to_do, cells = [], {question.cell.name: "the number itself"}
    for flip in question.flips:
        if flip.cell is None:
            yield f"  {flip.title}: {flip.reason}"
            continue
        yield f"  {flip.title}: {flip.before} -> {flip.after}"
        yield f"    {flip.cell.name}"
        cells.setdefault(flip.cell.name, flip.title)
    for cell in question.cells:
        runs = [run_status(Path(root), cell, seed) for seed in plan.seeds_of(question.cell)]
        to_do += [run for run in runs if not run.finished]
    yield f"runs: {len(question.cells) * len(plan.seeds_of(question.cell))}, {len(to_do)} to do"
    yield from (f"  {line}" for line in estimate_lines(to_do, read_recorded(root)))
    yield f"run them: {command(plan, question)}"


def command(plan: Plan, question: Question) -> str:
    """Return the command that does the missing runs and writes the explanation."""
    settings = [f"{key}={value!r}" for key, value in plan.overrides.items()]
    config = ["--config", *settings] if settings else []
    target = f"{FOLDER}/{question.file_name}.md"
    return shlex.join(["snakemake", "--cores", "all", "--configfile", str(plan.path), *config, "--", target])


def lines(plan: Plan, question: Question, explanation: Explanation) -> Iterator[str]:
    """Yield an explanation as text, effects that are there first, the largest part of the gap ahead."""
    yield explanation.name
    yield f"  {_headline(explanation)}"
    for effect in strongest_first(explanation.effects):
        yield f"  {sentence(effect, explanation)}"
    yield "  One factor at a time: effects need not add up."
    if explanation.runs_missing:
        yield f"  {explanation.runs_missing} runs are missing; run them: {command(plan, question)}"


def sentence(effect: Effect, explanation: Explanation) -> str:
    """Return what a flip does in one sentence, or why it is not known."""
    flip, unit = effect.flip, difference_unit(explanation.column.unit)
    change = f"{flip.title} from {flip.before} to {flip.after}" if flip.before else flip.title
    if effect.mean is None:
        seeds = f"seeds {', '.join(map(str, effect.missing))} missing" if effect.missing else ""
        return f"{change}: not known: {'; '.join(filter(None, [effect.reason, seeds]))}"
    return f"switching {change} {_does(effect, explanation.gap, unit)} ({_certainty(effect)})"


def _does(effect: Effect, gap: float | None, unit: str) -> str:
    if gap is None:
        return f"changes it by {effect.mean:+.2f} {unit}"
    if effect.recovered >= 0:
        return f"recovers {effect.mean:+.2f} of {abs(gap):.2f} {unit}"
    return f"moves it away by {effect.mean:+.2f} {unit}, from a gap of {abs(gap):.2f}"


def _certainty(effect: Effect) -> str:
    parts = [f"{effect.n} seed pair{'s' if effect.n > 1 else ''}"]
    if effect.low is not None:
        parts.insert(0, f"{LEVEL:.0%} interval {effect.low:+.2f} … {effect.high:+.2f}")
    else:
        parts.append("no spread to give an interval by" if effect.n > 1 else "no interval from one pair")
    if effect.p is not None:
        parts.append(f"p = {effect.p:.2g} (Holm)")
    if effect.diverged:
        parts.append(f"{effect.diverged} of them with a run that diverged, left out of the mean")
    if effect.missing:
        parts.append(f"seeds {', '.join(map(str, effect.missing))} missing")
    return ", ".join(parts)


def _headline(explanation: Explanation) -> str:
    number = explanation.number
    printed = explanation.printed or "no number"
    ours = "no finished run" if number.mean is None else f"ours {number.mean:.4g}, n = {number.n}"
    what = f"paper {printed}, {ours}: {number.verdict}"
    if explanation.deviates:
        return f"{what}; the gap is {explanation.gap:+.2f}"
    if number.verdict is Verdict.STAND_IN:
        return f"{what}: not the paper's data, so there is no gap; the effects are those on the stand-in"
    if explanation.gap is None:
        return f"{what}: there is no gap to explain"
    return f"{what}: it does not deviate; what the factors are worth all the same"


def write_explanation(plan: Plan, root: Path, question: Question, explanation: Explanation) -> list[Path]:
    """Write ``results/explain/<name>.{md,csv,json}`` and return their paths."""
    base = Path(root) / FOLDER / question.file_name
    paths = [base.with_name(f"{base.name}{suffix}") for suffix in (".md", ".csv", ".json")]
    data = record(plan, explanation, question)
    write_text(paths[0], as_markdown(plan, explanation))
    rows = [_row(explanation, effect) for effect in data["effects"]]
    write_text(paths[1], as_csv(COLUMNS, rows))
    write_json(paths[2], data)
    return paths


def _row(explanation: Explanation, effect: dict) -> dict[str, str]:
    named = {"name": explanation.name, "p_holm": effect["p"], "gap": explanation.gap, **effect}
    return {column: _text(named[column]) for column in COLUMNS}


def _text(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def as_markdown(plan: Plan, explanation: Explanation) -> str:
    """Return an explanation as Markdown: the sentences, the table, what it rests on."""
    rows = [
        (
            effect.flip.title,
            effect.flip.before,
            effect.flip.after,
            effect.n,
            "" if effect.mean is None else f"{effect.mean:+.2f}",
            "" if effect.low is None else f"{effect.low:+.2f} … {effect.high:+.2f}",
            "" if effect.p is None else f"{effect.p:.2g}",
            "" if effect.recovered is None else f"{effect.recovered:+.2f}",
            effect.reason or effect.flip.source,
        )
        for effect in strongest_first(explanation.effects)
    ]
    unit = difference_unit(explanation.column.unit)
    header = (
        "factor",
        "from",
        "to",
        "pairs",
        f"effect ({unit})",
        "95 % interval",
        "p (Holm)",
        "of the gap",
        "source, or why there is no value",
    )
    seeds = ", ".join(map(str, explanation.seeds))
    parts = [
        f"# {explanation.name}",
        _headline(explanation) + ".",
        "\n".join(f"- {sentence(effect, explanation)}" for effect in strongest_first(explanation.effects)),
        tabulate(rows, header, tablefmt="github", disable_numparse=True),
        f"Benchmark {plan.benchmark.name}; cell `{explanation.value.cell.name}`; selection "
        f"{explanation.selection}; seeds {seeds}. Each factor is flipped by itself, all else as it is. "
        "Effects are means of differences paired over seeds, with t-intervals; they need not add up. "
        "Where the paper prints one run, a part of the gap is chance.",
    ]
    return "\n\n".join(parts) + "\n"
