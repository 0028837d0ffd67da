"""What made a number, in lines: its cell and runs, their configuration, source, data, device, log and redo command."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import yaml

from counterpoise.papers.paper import Paper
from counterpoise.results.layout import LayoutCell, LayoutValue
from counterpoise.results.names import value_name
from counterpoise.results.table import Results, RunEntry

MOST_SOURCES = 5


def trace_lines(results: Results, paper: Paper, value: LayoutValue) -> Iterator[str]:
    """Yield what is known of one place of a table; ``paper`` is the one that the place belongs to."""
    table = paper.tables[value.table]
    column = table.column(value.column)
    printed = table.value(value.row, value.column).printed if value.row in table.row_ids else ""
    yield value_name(value)
    yield f"  paper      {printed or 'prints no number'}"
    if value.cell is None:
        yield f"  here       not run: {value.reason}"
        return
    cell = results.cell(value.cell)
    seeds = results.seeds(cell.name, results.layout.selection, value.output, column.measure, column.scale)
    numbers = list(seeds.finished.values())
    note = "; a stand-in, never compared with the paper" if value.stand_in else ""
    if numbers:
        spread = f" ± {statistics.stdev(numbers):.4g}" if len(numbers) > 1 else ""
        planned = len(results.layout.seeds)
        yield f"  here       {statistics.fmean(numbers):.6g}{spread} over {len(numbers)} of {planned} seeds{note}"
    else:
        yield f"  here       no value yet from {len(results.layout.seeds)} seeds{note}"
    selection = results.layout.selection
    yield f"  metric     {column.metric} of output '{value.output}', selection {selection}"
    yield f"  cell       {cell.name}"
    yield f"  source     {cell.source}"
    yield from _data_lines(results, cell)
    yield "  configuration"
    settings = yaml.safe_dump(cell.config, sort_keys=False, default_flow_style=None, width=100)
    yield from (f"    {line}" for line in settings.splitlines())
    epochs = _epochs(results, cell, value.output, column.measure)
    for run in results.runs_of[cell.name]:
        number = seeds.finished.get(run.seed)
        what = f"{number:.6g} (epoch {epochs.get(run.seed)})" if number is not None else _why_none(run, seeds.absent)
        yield f"  seed {run.seed}: {what}"
        yield f"    folder   {results.runs_folder / run.folder}"
        yield from (f"    {line}" for line in _record_lines(run.record) if run.finished)
        yield f"    log      {', '.join(run.logs) or 'none kept'}"
        yield f"    redo     {run.redo}"


def _why_none(run: RunEntry, absent: str) -> str:
    if run.status == "completed":
        return absent
    return f"{run.status.replace('_', ' ')}{f': {run.reason}' if run.reason else ''}"


def _epochs(results: Results, cell: LayoutCell, output: str, metric: str) -> dict[int, Any]:
    """Return the epoch that the benchmark's selection chose, by seed."""
    table = results.values
    wanted = {"key": cell.key, "selection": results.layout.selection, "output": output, "metric": metric}
    for column, text in wanted.items():
        table = table[table[column] == text]
    return dict(zip(table["seed"].astype(int), table["epoch"], strict=True))


def _data_lines(results: Results, cell: LayoutCell) -> Iterator[str]:
    for key in dict.fromkeys(cell.data_of(seed) for seed in results.layout.seeds):
        data = results.layout.data[key]
        yield f"  data       {data.name}.{key}: {data.title}"
        sources = data.manifest.get("sources", [])
        for source in sources[:MOST_SOURCES]:
            yield f"             {source.get('name')} sha256 {source.get('sha256')}"
        if len(sources) > MOST_SOURCES:
            yield f"             ... and {len(sources) - MOST_SOURCES} more files, listed in manifest.json"


def _record_lines(record: dict[str, Any]) -> Iterator[str]:
    git, environment = record.get("git", {}), record.get("environment", {})
    dirty = {True: ", with changes", False: ", clean"}.get(git.get("dirty"), "")
    resumed = ", resumed" if record.get("resumed") else ""
    yield f"trained  {record.get('started')} to {record.get('finished')}, {record.get('seconds')} s{resumed}"
    yield f"commit   {git.get('commit') or 'unknown'}{dirty}"
    details = [str(environment.get(n)) for n in ("device", "cpu_capability", "precision", "memory_format")]
    exact = "deterministic" if environment.get("deterministic") else "not deterministic"
    yield f"device   {environment.get('device_name')} ({', '.join(details)}, {exact})"
    libraries = ", ".join(f"{name} {version}" for name, version in environment.get("libraries", {}).items() if version)
    yield f"versions python {environment.get('python')}, {libraries}"
    yield f"weights  sha256 {record.get('weights_sha256')}"
