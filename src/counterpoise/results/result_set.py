"""A set of results for ``counterpoise diff A B``: a benchmark's results, a published record, or a Git revision.

The comparison files say what there was; no run is read, and of a revision nothing is checked out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from counterpoise.errors import UserError, suggest
from counterpoise.files import read_text
from counterpoise.git import ask_git
from counterpoise.path_names import is_safe
from counterpoise.results.rows import number, one_of, parse_rows, whole_number
from counterpoise.results.seeds import SeedValues

RESULTS, PUBLISHED = PurePosixPath("results"), PurePosixPath("results/published")
COMPARISON = "comparison"
CLAIMS, SEEDS = ".claims.csv", ".seeds.csv"
_CLAIM_COLUMNS = ("paper", "claim", "row", "verdict")
_NUMBER_COLUMNS = ("paper", "table", "row", "column", "dataset", "verdict")
_SEED_COLUMNS = ("paper", "table", "row", "column", "better", "stand_in", "seed", "status", "value")

NumberKey = tuple[str, str, str, str]
ClaimKey = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number of a table: what the runs gave, in printed units, and its verdict against the paper."""

    dataset: str
    verdict: str
    stand_in: bool
    better: str
    seeds: SeedValues

    @property
    def ran(self) -> bool:
        """Whether any run finished, diverged ones included."""
        return bool(self.seeds.finished or self.seeds.diverged)


@dataclass(frozen=True, kw_only=True)
class ResultSet:
    """Results by paper, table, row and column; claims' verdicts by paper, claim and row."""

    name: str
    numbers: Mapping[NumberKey, Number]
    claims: Mapping[ClaimKey, str] = field(default_factory=dict)


def find_folder(reference: str, root: Path) -> Path | None:
    """Return the folder that is meant by a path, by a published record's name, or by a benchmark's; in this order.

    A path may be relative to the current folder or to the project.
    """
    places = [Path(reference), Path(root) / reference]
    if is_safe(reference):
        places += [Path(root) / PUBLISHED / reference, Path(root) / RESULTS / reference]
    sound = bool(reference) and "\0" not in reference
    return next((folder for folder in places if sound and folder.is_dir()), None)


def known_names(root: Path) -> list[str]:
    """Return the names of a project's published records and of the benchmarks that have results."""
    homes = [*(Path(root) / PUBLISHED).glob("*/layout.json"), *(Path(root) / RESULTS).glob("*/layout.json")]
    return sorted({path.parent.name for path in homes})


def load_result_set(reference: str, root: Path, like: str = "") -> ResultSet:
    """Read the results that ``reference`` means.

    That is, in this order: a folder (of a benchmark's results, of a published record, or around one of them), the
    name of a published record or of a benchmark, or a Git revision, alone or as in ``v1.0:mosi``. Where a folder or
    a revision has several sets of results, the one called as ``like`` is taken.

    Raises:
        UserError: it means nothing that has results; says what was looked at.
    """
    root = Path(root)
    wanted = PurePosixPath(like.rpartition(":")[2]).name
    folder = find_folder(reference, root)
    if folder is not None:
        return _from_folder(folder, reference, wanted)
    return _from_revision(root, reference, wanted)


# -- folders -------------------------------------------------------------------------------------------------


def _from_folder(folder: Path, reference: str, like: str) -> ResultSet:
    patterns = ("", "*/", "results/*/", "published/*/", "results/published/*/")
    found = ({path.parent for path in folder.glob(f"{pattern}{COMPARISON}/*{CLAIMS}")} for pattern in patterns)
    homes = next(filter(None, found), None)
    if homes is None:
        raise UserError(
            f"{folder}: no comparison with a paper in it (looked in comparison/, */comparison/ and "
            "results/*/comparison/); 'counterpoise report' writes it"
        )
    names = {str(home): home.parent.name for home in sorted(homes)}
    home = Path(_choose(names, reference, like, lambda home: str(Path(home).parent)))
    papers = [path.name.removesuffix(CLAIMS) for path in home.glob(f"*{CLAIMS}")]
    return parse(reference, papers, lambda file: read_text(home / file, "comparison"), str(home))


def _choose(names: Mapping[str, str], reference: str, like: str, shown: Callable[[str], str]) -> str:
    """Return the folder of comparisons to read, of several the one called as ``like``; ``names`` are by folder."""
    fitting = [home for home, name in names.items() if name == like]
    if len(names) == 1 or len(fitting) == 1:
        return fitting[0] if fitting else next(iter(names))
    choices = ", ".join(map(shown, names))
    raise UserError(f"{reference}: has several sets of results; say which: {choices}")


# -- Git revisions -------------------------------------------------------------------------------------------


def _from_revision(root: Path, reference: str, like: str) -> ResultSet:
    revision, _, place = reference.partition(":")
    commit = None
    if revision and not revision.startswith("-") and "\0" not in revision:
        commit = ask_git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if commit is None:
        known = known_names(root)
        raise UserError(
            f"{reference}: neither a folder, nor a record in {PUBLISHED}, nor results of a benchmark, nor a Git "
            f"revision{suggest(reference, known) if known else ''}"
        )
    commit = commit.strip()
    listed = (ask_git(root, "ls-tree", "-r", "-z", "--name-only", commit, "--", "results") or "").split("\0")
    homes = {
        str(PurePosixPath(name).parent): PurePosixPath(name).parent.parent.name
        for name in listed
        if name.endswith(CLAIMS) and PurePosixPath(name).parent.name == COMPARISON
    }
    if not homes:
        raise UserError(f"{reference}: Git has no comparison below results/ at this revision")
    if place:
        fitting = {home: name for home, name in homes.items() if place in (name, str(PurePosixPath(home).parent))}
        if not fitting:
            raise UserError(f"{reference}: no results '{place}' there{suggest(place, homes.values())}")
        homes = fitting
    home = _choose(homes, reference, like, lambda home: f"{revision}:{homes[home]}")
    claims = [PurePosixPath(name) for name in listed if name.endswith(CLAIMS)]
    papers = [path.name.removesuffix(CLAIMS) for path in claims if str(path.parent) == home]

    def text(file: str) -> str:
        stored = ask_git(root, "show", f"{commit}:./{home}/{file}") if f"{home}/{file}" in listed else None
        if stored is None:
            raise UserError(f"{revision}:{home}/{file}: is not there")
        return stored

    return parse(reference, papers, text, f"{revision}:{home}")


# -- the files of a comparison -------------------------------------------------------------------------------


def parse(name: str, papers: Iterable[str], text: Callable[[str], str], where: str) -> ResultSet:
    """Read the comparisons with ``papers``; ``text`` gives the text of a file by its name.

    Raises:
        UserError: a file lacks a column, or a number in it is none.
    """
    numbers: dict[NumberKey, Number] = {}
    claims: dict[ClaimKey, str] = {}
    for paper in sorted(papers):
        file = f"{paper}{CLAIMS}"
        for row in parse_rows(text(file), f"{where}/{file}", _CLAIM_COLUMNS):
            claims[row["paper"], row["claim"], row["row"]] = row["verdict"]
        file = f"{paper}{SEEDS}"
        by_seed = _seeds(text(file), f"{where}/{file}")
        file = f"{paper}.csv"
        for row in parse_rows(text(file), f"{where}/{file}", _NUMBER_COLUMNS):
            key = (row["paper"], row["table"], row["row"], row["column"])
            seeds = by_seed.get(key) or _Seeds(better="higher", stand_in=row["verdict"] == "stand-in")
            numbers[key] = Number(
                dataset=row["dataset"],
                verdict=row["verdict"],
                stand_in=seeds.stand_in,
                better=seeds.better,
                seeds=SeedValues(finished=seeds.finished, diverged=seeds.diverged),
            )
    return ResultSet(name=name, numbers=numbers, claims=claims)


@dataclass(kw_only=True)
class _Seeds:
    better: str
    stand_in: bool
    finished: dict[int, float] = field(default_factory=dict)
    diverged: dict[int, str] = field(default_factory=dict)


def _seeds(text: str, where: str) -> dict[NumberKey, _Seeds]:
    by_number: dict[NumberKey, _Seeds] = {}
    for line, row in enumerate(parse_rows(text, where, _SEED_COLUMNS), start=2):
        place = f"{where}:{line}"
        key = (row["paper"], row["table"], row["row"], row["column"])
        better = one_of(row, "better", ("higher", "lower"), place)
        stand_in = one_of(row, "stand_in", ("yes", "no"), place) == "yes"
        entry = by_number.setdefault(key, _Seeds(better=better, stand_in=stand_in))
        seed = whole_number(row, "seed", place)
        if one_of(row, "status", ("completed", "diverged"), place) == "diverged":
            entry.diverged[seed] = "diverged"
        else:
            entry.finished[seed] = number(row, "value", place)
    return by_number
