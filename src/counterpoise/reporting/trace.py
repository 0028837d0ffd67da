"""From a number to everything that made it: runs, configuration, source, data, device, log, command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from counterpoise.judging.entries import row_label
from counterpoise.papers.paper import Paper
from counterpoise.reporting.pages.evidence import as_yaml, commit_of, machine_of, record_of
from counterpoise.results.layout import LayoutCell, LayoutValue
from counterpoise.results.names import value_name
from counterpoise.results.seeds import SeedValues
from counterpoise.results.table import Results, RunEntry

MOST_SOURCES = 5


def trace_lines(results: Results, paper: Paper, value: LayoutValue) -> Iterator[str]:
    """Yield what ``counterpoise trace`` prints about one place of a table, of own results as of a published record."""
    table = paper.table(value.table)
    column = table.column(value.column)
    named = table.column_name(value.column)
    in_paper = value.row in table.row_ids
    printed = table.value(value.row, value.column).printed if in_paper else ""
    yield value_name(value)
    yield f"  number     {table.name} of {paper.short_title}, {row_label(value.row, value.variant)}, {named}"
    yield f"  paper      {printed or 'prints no number'}"
    if value.cell is None:
        yield f"  here       not run: {value.reason}"
        return
    cell = results.cell(value.cell)
    seeds = results.seeds(cell.name, results.layout.selection, value.output, column.measure, column.scale)
    yield f"  here       {_ours(results, value, seeds)}"
    yield f"  metric     {column.metric} of output '{value.output}', selection {results.layout.selection}"
    yield f"  cell       {cell.name}"
    yield f"  source     {cell.source}"
    yield from _data_lines(results, cell)
    yield "  configuration"
    yield from (f"    {line}" for line in as_yaml(cell.config).splitlines())
    epochs = _epochs(results, cell, value.output)
    for run in results.runs_of[cell.name]:
        yield from _run_lines(run, seeds, epochs.get(run.seed))


def _ours(results: Results, value: LayoutValue, seeds: SeedValues) -> str:
    note = "; a stand-in, never compared with the paper" if value.stand_in else ""
    planned = len(results.runs_of[value.cell])
    if seeds.mean is None:
        return f"no value yet from {planned} seeds{f': {seeds.absent}' if seeds.absent else ''}{note}"
    spread = "" if seeds.std is None else f" ± {seeds.std:.4g}"
    return f"{seeds.mean:.6g}{spread} over {seeds.n} of {planned} seeds{note}"


def _data_lines(results: Results, cell: LayoutCell) -> Iterator[str]:
    """Yield the prepared data of a cell, its folds included, and the files that each was made of."""
    for name in dict.fromkeys((cell.data, *cell.folds)):
        data = results.layout.data[name]
        yield f"  data       {data.title}, {name}"
        sources: list[dict[str, Any]] = data.manifest.get("sources", [])
        for source in sources[:MOST_SOURCES]:
            yield f"             {source.get('name')} sha256 {source.get('sha256')}"
        if len(sources) > MOST_SOURCES:
            yield f"             and {len(sources) - MOST_SOURCES} more files, listed in its manifest"


def _epochs(results: Results, cell: LayoutCell, output: str) -> dict[int, int]:
    """Return the epoch, counted from 0, that each seed's value is of."""
    rows = results.values
    chosen = (rows["key"] == cell.key) & (rows["output"] == output) & (rows["selection"] == results.layout.selection)
    selected = rows[chosen].dropna(subset=["epoch"])
    return dict(zip(map(int, selected["seed"]), map(int, selected["epoch"]), strict=True))


def _run_lines(run: RunEntry, seeds: SeedValues, epoch: int | None) -> Iterator[str]:
    if run.seed in seeds.finished:
        at = "" if epoch is None else f" (epoch {epoch + 1})"
        yield f"  seed {run.seed}: {seeds.finished[run.seed]:.6g}{at}"
    else:
        why = run.reason or (seeds.absent if run.status == "completed" else "")
        yield f"  seed {run.seed}: {run.status.replace('_', ' ')}{f': {why}' if why else ''}"
    yield f"    folder   {run.folder}"
    record = record_of(run)
    if record is not None:
        for number, attempt in enumerate(record.attempts):
            what = "trained" if number == 0 else "resumed"
            host = f" on {attempt.host}" if attempt.host else ""  # a published record names no machine
            yield f"    {what}  {attempt.started}{host}: {attempt.command}"
        last = record.attempts[-1]
        yield f"    finished {record.finished}, {record.seconds:.3g} s of training"
        yield f"    commit   {commit_of(last)}"
        yield from (f"    {name:<8} {fact}" for name, fact in machine_of(last).items())
        yield f"    weights  sha256 {record.weights_sha256}"
    yield f"    log      {', '.join(run.logs) or 'none kept'}"
    if run.redo:
        yield f"    redo     {run.redo}"
