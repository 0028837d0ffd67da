"""A set of results as its comparison files hold it: in a folder, in a published record, or in a revision.

Nothing is planned and no run is read: the files of ``counterpoise compare`` say what there was.
"""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from counterpoise.errors import UserError, suggest
from counterpoise.results.seeds import SeedValues

PUBLISHED = PurePosixPath("results/published")
CLAIMS, SEEDS = ".claims.csv", ".seeds.csv"

NumberKey = tuple[str, str, str, str]
ClaimKey = tuple[str, str, str]


@dataclass(frozen=True)
class Number:
    """One number of a table: what the runs gave, in printed units.

    ``seeds`` is None where the files are from before they held every seed; then ``mean``, ``std`` and ``n``
    are all there is.
    """

    dataset: str
    verdict: str
    mean: float | None
    std: float | None
    n: int
    stand_in: bool = False
    better: str = "higher"
    seeds: SeedValues | None = None


@dataclass(frozen=True)
class ResultSet:
    """Results by paper, table, row and column; claims' verdicts by paper, claim and row."""

    name: str
    numbers: Mapping[NumberKey, Number]
    claims: Mapping[ClaimKey, str] = field(default_factory=dict)


def load_result_set(reference: str, root: Path, like: str = "") -> ResultSet:
    """Read the results that ``reference`` means.

    That is, in this order: a folder (a project, its ``results``, or a published record), the name of a
    published record, or a Git revision, alone or as in ``v1.0:mnist`` or ``v1.0:results``. Where a revision
    has several sets of results, the one called as ``like`` is taken.

    Raises:
        UserError: it means nothing that has results; says what was looked at.
    """
    root = Path(root)
    for folder in (Path(reference), root / reference, root / PUBLISHED / reference):
        if folder.is_dir():
            return _from_folder(folder, reference)
    return _from_revision(root, reference, PurePosixPath(like.rpartition(":")[2]).name)


def _from_folder(folder: Path, name: str) -> ResultSet:
    for home in (folder / "comparison", folder / "results/comparison", folder):
        names = [path.name for path in home.glob(f"*{CLAIMS}")]
        if names:
            return parse(name, names, lambda file, home=home: _text(home / file), str(home))
    raise UserError(
        f"{folder}: no comparison with a paper in it (looked in comparison/ and results/comparison/); "
        "'counterpoise compare' or the workflow writes it"
    )


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _from_revision(root: Path, reference: str, like: str) -> ResultSet:
    revision, _, place = reference.partition(":")
    commit = _git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if commit is None:
        known = sorted(path.name for path in (root / PUBLISHED).glob("*") if path.is_dir())
        raise UserError(
            f"{reference}: neither a folder, nor a record in {PUBLISHED}, nor a Git revision of {root}"
            f"{suggest(reference, known) if known else ''}"
        )
    listed = _git(root, "ls-tree", "-r", "-z", "--name-only", commit.strip(), "--", "results") or ""
    homes = sorted({PurePosixPath(name).parent for name in listed.split("\0") if name.endswith(CLAIMS)})
    home = _choose(homes, reference, place or like, bool(place))
    files = {PurePosixPath(name).name for name in listed.split("\0") if PurePosixPath(name).parent == home}
    papers = [name for name in sorted(files) if name.endswith(CLAIMS)]

    def text(file: str) -> str | None:
        return _git(root, "show", f"{commit.strip()}:./{home / file}") if file in files else None

    return parse(reference, papers, text, f"{revision}:{home}")


def _choose(homes: list[PurePosixPath], reference: str, wanted: str, asked: bool) -> PurePosixPath:
    """Return the folder of comparisons that a revision is to be read from."""
    if not homes:
        raise UserError(f"{reference}: Git holds no comparison below results/ at this revision")
    named = {home: _record_name(home) for home in homes}
    fitting = [home for home, name in named.items() if wanted in (name, str(home), str(home.parent))]
    if len(fitting) == 1:
        return fitting[0]
    if asked:
        raise UserError(f"{reference}: no results '{wanted}' there{suggest(wanted, named.values())}")
    if len(homes) == 1:
        return homes[0]
    revision = reference.partition(":")[0]
    choices = ", ".join(f"{revision}:{name}" for name in named.values())
    raise UserError(f"{reference}: has several sets of results; say which: {choices}")


def _record_name(home: PurePosixPath) -> str:
    """Return what a folder of comparisons is called: a published record's name, or ``results``."""
    return home.parent.name


def _git(root: Path, *arguments: str) -> str | None:
    """Return what Git prints, None where it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout.decode("utf-8", errors="replace") if done.returncode == 0 else None


def parse(name: str, claims_files: Iterable[str], text: Callable[[str], str | None], where: str) -> ResultSet:
    """Read a set of results; ``text`` gives the text of a file by its name, None where there is none.

    Raises:
        UserError: a file lacks a column, or a number in it is none.
    """
    numbers: dict[NumberKey, Number] = {}
    claims: dict[ClaimKey, str] = {}
    for file in sorted(claims_files):
        paper = file.removesuffix(CLAIMS)
        for row in _rows(text(file), f"{where}/{file}", ("paper", "claim", "row", "verdict")):
            claims[row["paper"], row["claim"], row["row"]] = row["verdict"]
        seeds = text(f"{paper}{SEEDS}")
        by_seed = None if seeds is None else _seeds(seeds, f"{where}/{paper}{SEEDS}")
        for row in _rows(text(f"{paper}.csv"), f"{where}/{paper}.csv", _NUMBER_COLUMNS):
            key = (row["paper"], row["table"], row["row"], row["column"])
            numbers[key] = _number(row, by_seed, key, f"{where}/{paper}.csv")
    return ResultSet(name, numbers, claims)


_NUMBER_COLUMNS = ("paper", "table", "row", "column", "dataset", "mean", "std", "n", "verdict")
_SEED_COLUMNS = ("paper", "table", "row", "column", "better", "stand_in", "seed", "status", "value")


def _rows(text: str | None, where: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    if text is None:
        raise UserError(f"{where}: is not there")
    reader = csv.DictReader(io.StringIO(text))
    lacking = [column for column in columns if column not in (reader.fieldnames or ())]
    if lacking:
        raise UserError(f"{where}: has no column '{lacking[0]}'")
    return list(reader)


@dataclass
class _Seeds:
    better: str
    stand_in: bool
    finished: dict[int, float] = field(default_factory=dict)
    diverged: dict[int, str] = field(default_factory=dict)


def _seeds(text: str, where: str) -> dict[NumberKey, _Seeds]:
    found: dict[NumberKey, _Seeds] = {}
    for row in _rows(text, where, _SEED_COLUMNS):
        key = (row["paper"], row["table"], row["row"], row["column"])
        entry = found.setdefault(key, _Seeds(row["better"], row["stand_in"] == "yes"))
        seed = int(_float(row, "seed", where))
        if row["status"] == "diverged":
            entry.diverged[seed] = "diverged"
        else:
            entry.finished[seed] = _float(row, "value", where)
    return found


def _number(row: Mapping[str, str], by_seed: Mapping[NumberKey, _Seeds] | None, key: NumberKey, where: str) -> Number:
    mean, std = (_float(row, name, where) if row[name] else None for name in ("mean", "std"))
    fields = (row["dataset"], row["verdict"], mean, std, int(_float(row, "n", where)) if row["n"] else 0)
    if by_seed is None:
        return Number(*fields, stand_in=row["verdict"] == "stand-in")
    found = by_seed.get(key) or _Seeds("higher", row["verdict"] == "stand-in")
    return Number(*fields, found.stand_in, found.better, SeedValues(finished=found.finished, diverged=found.diverged))


def _float(row: Mapping[str, str], column: str, where: str) -> float:
    try:
        return float(row[column])
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: '{column}' is {row[column]!r}, must be a number") from error
