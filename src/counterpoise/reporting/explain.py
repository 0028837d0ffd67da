"""An explanation in words: on the terminal, and as Markdown, CSV and JSON."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from counterpoise.files import json_text, write_text
from counterpoise.judging.explain import LEVEL, Effect, Explanation, record
from counterpoise.judging.verdicts import Verdict
from counterpoise.reporting.words import counted, difference_unit, interval_text, number_text
from counterpoise.results.explained import FOLDER, strongest_first
from counterpoise.results.rows import as_csv, field_text

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


def lines(explanation: Explanation) -> Iterator[str]:
    """Yield an explanation as text: effects that are known first, the one that recovers most ahead."""
    yield explanation.name
    yield f"  {explanation.title}"
    yield f"  {_headline(explanation)}"
    for effect in strongest_first(explanation.effects):
        yield f"  {sentence(effect, explanation)}"
    yield "  One factor at a time: effects need not add up."
    if explanation.runs_missing:
        target = f"{FOLDER}/{explanation.benchmark}/{explanation.question.file_name}.md"
        command = shlex.join(["counterpoise", "run", "--benchmark", explanation.benchmark, target])
        yield f"  {counted(explanation.runs_missing, 'run')} missing; to do them: {command}"


def sentence(effect: Effect, explanation: Explanation) -> str:
    """Return what a flip does in one sentence, or why it is not known."""
    flip, unit = effect.flip, difference_unit(explanation.column.unit)
    change = f"{flip.title} from {flip.before} to {flip.after}" if flip.before else flip.title
    if effect.mean is None:
        seeds = f"seeds {', '.join(map(str, effect.missing))} missing" if effect.missing else ""
        return f"{change}: not known: {'; '.join(filter(None, [effect.reason, seeds]))}"
    return f"switching {change} {_does(effect, explanation.gap, unit)} ({_certainty(effect)})"


def _does(effect: Effect, gap: float | None, unit: str) -> str:
    if gap is None or effect.recovered is None:
        return f"changes it by {effect.mean:+.2f} {unit}"
    if effect.recovered < 0:
        return f"moves it away by {effect.mean:+.2f} {unit}, from a gap of {abs(gap):.2f}"
    beyond = " and goes past the printed number" if effect.recovered > abs(gap) else ""
    return f"recovers {effect.recovered:.2f} of {abs(gap):.2f} {unit}{beyond}"


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
    return f"{what}: there is no gap to explain; what the factors are worth all the same"


def write_explanation(folder: Path, explanation: Explanation) -> list[Path]:
    """Write ``<folder>/<name>.{md,csv,json}`` and return their paths."""
    paths = []
    for name, text in explanation_texts(explanation).items():
        paths.append(Path(folder) / name)
        write_text(paths[-1], text)
    return paths


def explanation_texts(explanation: Explanation) -> dict[str, str]:
    """Return the text of each file of an explanation by the file's name."""
    name, data = explanation.question.file_name, record(explanation)
    return {
        f"{name}.md": as_markdown(explanation),
        f"{name}.csv": as_csv(COLUMNS, [_row(explanation, effect) for effect in data["effects"]]),
        f"{name}.json": json_text(data),
    }


def _row(explanation: Explanation, effect: dict) -> dict[str, str]:
    named = {"name": explanation.name, "p_holm": effect["p"], "gap": explanation.gap, **effect}
    return {column: field_text(named[column]) for column in COLUMNS}


def as_markdown(explanation: Explanation) -> str:
    """Return an explanation as Markdown: the sentences, the table, what it rests on."""
    unit = difference_unit(explanation.column.unit)
    effects = strongest_first(explanation.effects)
    table = {
        "factor": [effect.flip.title for effect in effects],
        "from": [effect.flip.before for effect in effects],
        "to": [effect.flip.after for effect in effects],
        "pairs": [effect.n for effect in effects],
        f"effect ({unit})": [number_text(effect.mean, "+.2f") for effect in effects],
        f"{LEVEL:.0%} interval": [interval_text(effect.low, effect.high, "+.2f") for effect in effects],
        "p (Holm)": [number_text(effect.p, ".2g") for effect in effects],
        "of the gap": [number_text(effect.recovered, "+.2f") for effect in effects],
        "source, or why there is no value": [effect.reason or effect.flip.source for effect in effects],
    }
    parts = [
        f"# {explanation.title}",
        _headline(explanation) + ".",
        "\n".join(f"- {sentence(effect, explanation)}" for effect in effects),
        tabulate(table, "keys", tablefmt="github", disable_numparse=True),
        f"`{explanation.name}`; benchmark {explanation.benchmark}; cell `{explanation.question.cell}`; selection "
        f"{explanation.selection}; seeds {', '.join(map(str, explanation.seeds))}. Each factor is flipped by itself, "
        "all else as it is. Effects are means of differences paired over seeds, with t-intervals; they need not add "
        "up. Where the paper prints one run, a part of the gap is chance.",
    ]
    return "\n\n".join(parts) + "\n"
