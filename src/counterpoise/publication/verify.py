"""Do stored results still say what their runs say? Recompute them, and name every value that differs."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from counterpoise.errors import UserError
from counterpoise.files import read_json, sha256_file, write_json
from counterpoise.judging.compare import compare_paper
from counterpoise.planning.plan import Cell, Plan
from counterpoise.publication import record as published
from counterpoise.publication.publish import OPTIONAL, PREDICTIONS_FILE, result_texts
from counterpoise.reporting.layout import lay_out
from counterpoise.reporting.report import summary
from counterpoise.reporting.tables import table_texts
from counterpoise.results.evaluate import evaluate_run
from counterpoise.results.results import read_results
from counterpoise.runs.record import RECORD, read_record

ALL_THE_SAME, DIFFERENCES = 0, 3
# Another processor or version of a library may change the last digits of a calibration error, and no more.
METRIC_TOLERANCE = 1e-6
# Results are written with six significant digits.
WRITTEN_TOLERANCE = 2e-6

# By the end of a file's name: the columns that name a line, and those whose words may be put differently by
# another version of the source.
KEYS = {
    ".claims.csv": ("claim", "row"),
    ".rankings.csv": ("table", "variant", "column"),
    ".seeds.csv": ("table", "row", "column", "seed"),
}
COMPARISON_KEY = ("table", "row", "column")
TABLE_KEY = ("row",)
WORDS = frozenset({"reason", "quote", "section"})


@dataclass(frozen=True)
class Difference:
    """A stored value that is not what comes out now."""

    file: str
    key: str
    stored: str
    found: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: stored {self.stored}, now {self.found}"


@dataclass
class Verification:
    """What was looked at, what differs, and what could not be looked at (``notes``)."""

    name: str
    runs: int = 0
    recomputed: int = 0
    by_digest: int = 0
    results: int = 0
    manifest: int = 0
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 if all is the same, 3 if anything differs."""
        return DIFFERENCES if self.differences else ALL_THE_SAME

    def lines(self) -> Iterator[str]:
        """Yield what to print: every difference, the notes, and a summary in one line."""
        yield from map(str, self.differences)
        yield from (f"note: {note}" for note in self.notes)
        parts = [
            f"{self.runs} runs",
            f"{self.recomputed} recomputed from their predictions",
            f"{self.by_digest} without predictions here, by digest only",
            f"{self.results} files of tables and comparisons",
        ]
        if self.manifest:
            parts.append(f"{self.manifest} files in the manifest")
        many = len(self.differences)
        outcome = f"{many} difference{'s' if many > 1 else ''}" if many else "all the same"
        yield f"{self.name}: {', '.join(parts)}: {outcome}"

    def differs(self, file: str, key: str, stored: object, found: object) -> None:
        """Enter a difference."""
        self.differences.append(Difference(file, key, str(stored), str(found)))


def verify_published(folder: Path) -> Verification:
    """Verify a published record from what is in its folder alone.

    Raises:
        UserError: its manifest or its plan cannot be read.
    """
    folder = Path(folder)
    manifest = published.read_manifest(folder)
    done = Verification(str(folder))
    _check_manifest(folder, manifest, done)
    record = published.read_published(folder)
    plan = record.plan
    by_name = {cell.name: cell for cell in plan.cells}
    for run in record.stored.runs:
        if run.status not in ("completed", "diverged"):
            continue
        cell = by_name[run.cell]
        home = folder / published.PREDICTIONS
        where = _Place(folder, plan, cell, run.seed, home, record.same_evaluation)
        done.runs += 1
        _verify_run(where, done, run.status)
    if record.stored.left_out:
        done.notes.append(f"not in the record, for its size: {', '.join(record.stored.left_out)} of the runs")
    texts = _recomputed(lambda: result_texts(plan, folder), folder, done)
    _verify_texts(folder, texts, done, exact=record.same_writer)
    return done


def verify_results(plan: Plan, root: Path) -> Verification:
    """Verify what lies below ``results``: the metrics, tables and comparisons of a plan's runs.

    Raises:
        UserError: there is nothing of this plan to verify.
    """
    root = Path(root)
    done = Verification(f"{plan.benchmark.name} ({plan.path})")
    missing = unevaluated = 0
    for cell in plan.cells:
        for seed in plan.seeds_of(cell):
            folder = root / cell.run_directory(seed)
            evaluated = (folder / plan.metrics_name).is_file()
            if not evaluated and not (folder / RECORD).is_file():
                missing += 1
                continue
            unevaluated += not evaluated
            done.runs += 1
            _verify_run(_Place(root, plan, cell, seed, None), done)
    texts = _recomputed(lambda: _current_texts(plan, root), root, done)
    there = {path: text for path, text in texts.items() if (root / path).is_file()}
    if not done.runs and not there:
        raise UserError(f"{plan.path}: none of its runs, tables and comparisons is there: nothing to verify")
    if missing:
        done.notes.append(f"{missing} runs of the plan are not there")
    if unevaluated:
        done.notes.append(f"{unevaluated} runs are not evaluated")
    if len(there) < len(texts):
        done.notes.append(f"{len(texts) - len(there)} of {len(texts)} files of results are not written")
    _verify_texts(root, there, done, exact=True)
    return done


def _current_texts(plan: Plan, root: Path) -> dict[str, str]:
    """Return the text of every file of results, by its path in the project."""
    results = read_results(plan, root)
    comparisons = [compare_paper(plan, root, paper, results) for paper in plan.papers]
    texts = {
        f"results/comparison/{name}": text for comparison in comparisons for name, text in comparison.texts().items()
    }
    for paper, table in plan.tables:
        source = plan.papers[paper]
        for suffix, text in table_texts(lay_out(plan, results, source, source.table(table))).items():
            texts[f"results/tables/{paper}/{table}{suffix}"] = text
    return texts | {"results/summary.json": json.dumps(summary(plan, comparisons))}


def _recomputed(texts: Callable[[], dict[str, str]], root: Path, done: Verification) -> dict[str, str]:
    """Return the results as they come out now; enter a difference where the runs give none."""
    try:
        return texts()
    except UserError as error:
        file, _, why = _relative(str(error), root).partition(": ")
        done.differs(file, "tables and comparison", "written from readable runs", why)
        return {}


def _relative(text: str, root: Path) -> str:
    return text.replace(f"{root}/", "")


# -- the manifest --------------------------------------------------------------------------------------------


def _check_manifest(folder: Path, manifest: published.Manifest, done: Verification) -> None:
    done.manifest = len(manifest.files)
    there = {path.relative_to(folder).as_posix(): path for path in published.record_files(folder)}
    for name, sha256 in manifest.files.items():
        found = sha256_file(there[name]) if name in there else "no such file"
        if found != sha256:
            done.differs(name, "sha256", sha256, found)
    for name in sorted(there.keys() - manifest.files.keys()):
        done.differs(name, "sha256", "not in the manifest", sha256_file(there[name]))


# -- one run -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where a run is; ``predictions`` is the folder that holds them in a record, None if beside the run.

    ``same_evaluation``: the source that measures is the one that measured it.
    """

    root: Path
    plan: Plan
    cell: Cell
    seed: int
    predictions: Path | None
    same_evaluation: bool = True

    @property
    def folder(self) -> Path:
        return self.root / self.cell.run_directory(self.seed)

    @property
    def large(self) -> Path:
        """The folder of the run's predictions."""
        if self.predictions is None:
            return self.folder
        return self.predictions / self.cell.name / f"seed-{self.seed}"

    def name(self, path: Path) -> str:
        """Return how a file is called in messages."""
        return path.relative_to(self.root).as_posix()


def _verify_run(where: _Place, done: Verification, ended: str | None = None) -> None:
    """Check a run's files against its record, and its metrics against its predictions.

    ``ended`` is how the run ended, where that is known from elsewhere.
    """
    try:
        record = read_record(where.folder, where.cell.key, where.seed)
    except UserError as error:
        path = where.name(where.folder / RECORD)
        done.differs(path, "record", f"of key {where.cell.key}, seed {where.seed}", _why(error))
        return
    if ended is not None and record.get("status") != ended:
        done.differs(where.name(where.folder / RECORD), "status", ended, record.get("status"))
    sound = _check_files(where, record, done)
    metrics_path = where.folder / where.plan.metrics_name
    if not metrics_path.is_file():
        if where.predictions is not None:
            done.differs(where.name(metrics_path), "file", "metrics of the run", "no such file")
        return
    if not (where.large / PREDICTIONS_FILE).is_file():
        done.by_digest += 1
        return
    done.recomputed += 1
    if not sound:
        return  # said already; what is computed from other predictions says nothing more
    try:
        stored = read_json(metrics_path, "metrics of a run")
        found, left_out = _measured(where, record)
    except UserError as error:
        done.differs(where.name(metrics_path), "metrics", "measured from the run", _why(error))
        return
    except (KeyError, TypeError) as error:
        path = where.name(where.folder / RECORD)
        done.differs(path, "record", "what the metrics were measured by", f"not there ({error!r})")
        return
    if not where.same_evaluation:
        found = _restricted(found, stored)
    done.differences.extend(_json_differences(where.name(metrics_path), stored, found, "", left_out))


def _why(error: UserError) -> str:
    """Return what is wrong, without the path that the message starts with."""
    return str(error).partition(": ")[2] or str(error)


def _check_files(where: _Place, record: Mapping[str, Any], done: Verification) -> bool:
    """Compare the run's files that are there with the record's digests; return whether all are the same."""
    before = len(done.differences)
    for name, sha256 in record["files"].items():
        for path in (where.folder / name, where.large / name):
            if path.is_file():
                found = sha256_file(path)
                break
            if path.with_name(f"{name}.gz").is_file():
                found = _unpacked_digest(path.with_name(f"{name}.gz"))
                break
        else:
            continue
        if found != sha256:
            done.differs(where.name(path), "sha256", sha256, found)
    return len(done.differences) == before


def _unpacked_digest(path: Path) -> str:
    try:
        return hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    except (OSError, EOFError, ValueError) as error:
        return f"not readable ({error})"


def _measured(where: _Place, record: dict[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """Return a run's metrics as they come out now, and the names of metrics that cannot be measured here."""
    probe = where.plan.probe_of(where.cell)
    asked = where.plan.benchmark.evaluation
    with tempfile.TemporaryDirectory(prefix="counterpoise-verify-") as scratch:
        aside = Path(scratch)
        wanted = [PREDICTIONS_FILE, *OPTIONAL, *([f"{probe}.json", f"{probe}.npz"] if probe else [])]
        for name in wanted:
            _bring(where, name, aside)
        kept = dict(record, files=dict(record["files"]))
        left_out: frozenset[str] = frozenset()
        if "diagnostics.csv" in record["files"] and not (aside / "diagnostics.csv").is_file():
            del kept["files"]["diagnostics.csv"]
            left_out |= {"iterations_to_stationarity"}
        if not (aside / "timings.csv").is_file() or left_out:
            left_out |= {"seconds_per_iteration", "seconds_per_iteration_variance"}
        if probe is not None and not (aside / f"{probe}.npz").is_file():
            left_out |= {"probe"}
            probe = None
        write_json(aside / RECORD, kept)
        key = (where.plan.metrics_name, where.cell.key, where.seed)
        path = evaluate_run(aside, *key, asked.ece_bins, probe, asked.stationarity)
        return read_json(path, "metrics of a run"), left_out


def _bring(where: _Place, name: str, aside: Path) -> None:
    for path in (where.folder / name, where.large / name):
        if path.is_file():
            shutil.copyfile(path, aside / name)
        elif path.with_name(f"{name}.gz").is_file():
            (aside / name).write_bytes(gzip.decompress(path.with_name(f"{name}.gz").read_bytes()))


def _restricted(found: Any, stored: Any) -> Any:
    """Return of what is measured today what an older version of the source measured, too."""
    if not (isinstance(found, dict) and isinstance(stored, dict)):
        return found
    same = {name: _restricted(value, stored[name]) for name, value in found.items() if name in stored}
    return same | ({"schema": stored["schema"]} if "schema" in same else {})


def _json_differences(
    file: str, stored: Any, found: Any, key: str, left_out: Collection[str] = ()
) -> Iterator[Difference]:
    """Yield the leaves in which two JSON values differ; numbers may differ in their last digits."""
    if isinstance(stored, dict) and isinstance(found, dict):
        for name in dict.fromkeys([*stored, *found]):
            if name.partition(":")[0] in left_out and name not in found:
                continue
            inner = f"{key}.{name}" if key else name
            ours, theirs = stored.get(name, _ABSENT), found.get(name, _ABSENT)
            yield from _json_differences(file, ours, theirs, inner, left_out)
    elif isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        for place, (ours, theirs) in enumerate(zip(stored, found, strict=True)):
            yield from _json_differences(file, ours, theirs, f"{key}[{place}]", left_out)
    elif not _same_value(stored, found):
        yield Difference(file, key, _shown(stored), _shown(found))


_ABSENT = object()


def _same_value(stored: Any, found: Any) -> bool:
    numbers = [isinstance(value, (int, float)) and not isinstance(value, bool) for value in (stored, found)]
    if all(numbers):
        return math.isclose(stored, found, rel_tol=METRIC_TOLERANCE, abs_tol=METRIC_TOLERANCE)
    return stored == found


def _shown(value: Any) -> str:
    return "nothing" if value is _ABSENT else json.dumps(value)


# -- tables and comparisons ----------------------------------------------------------------------------------


def _verify_texts(root: Path, texts: Mapping[str, str], done: Verification, *, exact: bool) -> None:
    """Compare each file of results with its text as it comes out now.

    Not ``exact``: another version of the source wrote them, which may have put words and marks differently;
    then the numbers and verdicts count.
    """
    wording = 0
    for name, text in texts.items():
        path = root / name
        if not path.is_file():
            done.differs(name, "file", "written with the record", "no such file")
            continue
        stored = path.read_bytes().decode("utf-8", errors="replace")
        done.results += 1
        if name.endswith(".csv"):
            done.differences.extend(_csv_differences(name, stored, text, exact))
        elif name.endswith(".json"):
            done.differences.extend(_parsed_differences(name, stored, text))
        elif exact:
            done.differences.extend(_line_differences(name, stored, text))
        else:
            wording += 1
    if not exact:
        done.notes.append(
            "written by another version of the source: numbers and verdicts recomputed and compared; "
            f"{wording} texts (Markdown, LaTeX) and reasons in words by their digest alone"
        )


def _parsed_differences(name: str, stored: str, found: str) -> Iterator[Difference]:
    try:
        yield from _json_differences(name, json.loads(stored), json.loads(found), "")
    except ValueError as error:
        yield Difference(name, "file", "JSON", f"not JSON ({error})")


def _csv_differences(name: str, stored: str, found: str, exact: bool) -> Iterator[Difference]:
    key = next((key for end, key in KEYS.items() if name.endswith(end)), None)
    key = key or (TABLE_KEY if "tables/" in name else COMPARISON_KEY)
    ours, theirs = _lines(stored), _lines(found)
    for columns, rows in ((ours[0], ours[1]), (theirs[0], theirs[1])):
        if not set(key) <= set(columns) or any(None in row for row in rows):
            yield Difference(name, "columns", ",".join(ours[0]), ",".join(theirs[0]))
            return
    if exact and ours[0] != theirs[0]:
        yield Difference(name, "columns", ",".join(ours[0]), ",".join(theirs[0]))
    shared = [column for column in ours[0] if column in theirs[0] and (exact or column not in WORDS)]
    before, after = _by_key(ours[1], key), _by_key(theirs[1], key)
    for place in dict.fromkeys([*before, *after]):
        shown = ".".join(place)
        for old, new in zip_longest(before.get(place, []), after.get(place, [])):
            if old is None or new is None:
                yield Difference(name, shown, "a line" if old else "no line", "a line" if new else "no line")
                continue
            for column in shared:
                if not _same_text(old[column], new[column]):
                    yield Difference(name, f"{shown} {column}", repr(old[column]), repr(new[column]))


def _lines(text: str) -> tuple[Sequence[str], list[dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text))
    rows = list(reader)
    return reader.fieldnames or (), rows


def _by_key(rows: list[dict[str, str]], key: Sequence[str]) -> dict[tuple[str, ...], list[dict[str, str]]]:
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] or "" for name in key), []).append(row)
    return found


def _same_text(stored: str, found: str) -> bool:
    if stored == found:
        return True
    try:
        return math.isclose(float(stored), float(found), rel_tol=WRITTEN_TOLERANCE, abs_tol=1e-9)
    except (TypeError, ValueError):
        return False


def _line_differences(name: str, stored: str, found: str) -> Iterator[Difference]:
    for number, (old, new) in enumerate(zip_longest(stored.splitlines(), found.splitlines()), start=1):
        if old != new and _plain(old) != _plain(new):
            yield Difference(name, f"line {number}", repr(old), repr(new))


def _plain(line: str | None) -> str | None:
    """Return a line without what an aligning library adds: spaces and the rules of a table's head."""
    return None if line is None else re.sub(r"[\s\-]{2,}", " ", line)
