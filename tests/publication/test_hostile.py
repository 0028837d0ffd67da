"""A record from elsewhere harms nobody: no name leads out of its folder, and no file ends in a traceback or a hang."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from counterpoise.errors import UserError
from counterpoise.files import sha256_file
from counterpoise.judging.difference import difference
from counterpoise.publication.pages import write_pages
from counterpoise.publication.publish import judge_again
from counterpoise.publication.record import read_published
from counterpoise.publication.verify import verify
from counterpoise.reporting.trace import trace_lines
from counterpoise.results.names import find_values, value_name
from counterpoise.results.result_set import load_result_set

SEED = 20261128
HOSTILE = (
    *("../../../outside/x", "..", "/outside/x", "x/../../../../outside", "~/x", "\\outside\\x", "C:\\outside", "CON"),
    *("x\0y", "\x1b]0;title\x07\x1b[2J", "x\ny", "$(touch outside)", "`touch outside`", "x" * 5000, ""),
)
RECORD_FILES = ("manifest.json", "layout.json", "runs.json", "summary.json")


# -- everything that reads a record --------------------------------------------------------------------------


def verify_it(folder: Path, scratch: Path) -> None:
    """Verify; a difference counts as refused."""
    done = verify(folder)
    lines = list(done.lines())
    assert len(lines) == len(done.differences) + len(done.notes) + 1
    if done.differences:
        raise UserError(lines[0])


def report_it(folder: Path, scratch: Path) -> None:
    """Write its pages."""
    write_pages(folder, scratch)


def diff_it(folder: Path, scratch: Path) -> None:
    """Compare it with itself."""
    found = load_result_set(str(folder), scratch)
    difference(found, found).exit_code()


def trace_it(folder: Path, scratch: Path) -> None:
    """Trace each number of it."""
    record = read_published(folder)
    for value in record.results.layout.values[:40:8]:
        for each in find_values(record.results.layout, value_name(value)):
            list(trace_lines(record.results, record.papers[each.paper], each))


def judge_it(folder: Path, scratch: Path) -> None:
    """Judge it anew."""
    judge_again(folder, scratch)


READERS: tuple[Callable[[Path, Path], None], ...] = (verify_it, report_it, diff_it, trace_it, judge_it)


class Hang(Exception):
    """A reader took too long."""


@pytest.fixture
def arena(tmp_path) -> Iterator[Path]:
    """A folder three levels deep around which every new file would be seen; readers get thirty seconds."""

    def stop(*arguments: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    yield tmp_path / "a/b/c"
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Name -> (size, time) of every file, folder and link."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        found[str(path)] = (status.st_size, 0 if path.is_dir() else status.st_mtime_ns)
    return found


def read_all(arena: Path, folder: Path, readers=READERS) -> list[str]:
    """Let everything read the record; return what was refused. Nothing outside of record and scratch may change."""
    scratch = arena / "scratch"
    scratch.mkdir(exist_ok=True)
    outside = {name: kind for name, kind in everything(arena.parents[2]).items() if not name.startswith(str(arena))}
    refused = []
    for read in readers:
        signal.alarm(30)
        try:
            read(folder, scratch)
        except UserError as error:
            refused.append(str(error))
        finally:
            signal.alarm(0)
    assert not [line for line in refused if "\n" in line or "\x1b" in line]
    now = {name: kind for name, kind in everything(arena.parents[2]).items() if not name.startswith(str(arena))}
    assert now == outside
    return refused


@pytest.fixture
def hostile(arena, once) -> Callable[[], Path]:
    """Give a fresh copy of the record in the arena."""

    def copy() -> Path:
        shutil.rmtree(arena, ignore_errors=True)
        return Path(shutil.copytree(once.root / "results/published/small", arena / "record"))

    return copy


def seal(folder: Path) -> None:
    """Make the manifest fit, as a careful sender would."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
        manifest["files"] = {
            name: sha256_file(folder / name) for name in manifest["files"] if (folder / name).is_file()
        }
    except (ValueError, TypeError, KeyError, AttributeError, OSError):
        return
    path.write_text(json.dumps(manifest))


# -- names ---------------------------------------------------------------------------------------------------


def places(data: Any, place: tuple = ()) -> Iterator[tuple]:
    """Yield the place of every text in JSON data, and of every key; lists of like things by their first alone."""
    if isinstance(data, str):
        yield place
    elif isinstance(data, dict):
        for number, (key, value) in enumerate(data.items()):
            if number < 40:
                yield (*place, ("key", key))
                yield from places(value, (*place, key))
    elif isinstance(data, list) and data:
        yield from places(data[0], (*place, 0))


def put(data: Any, place: tuple, name: str) -> None:
    """Put a name in a place."""
    for step in place[:-1]:
        data = data[step]
    if isinstance(place[-1], tuple):
        data[name] = data.pop(place[-1][1])
    else:
        data[place[-1]] = name


@pytest.mark.parametrize("file", [*RECORD_FILES, "record.json"])
def test_no_text_of_a_record_leads_out_of_its_folder(arena, hostile, file):
    folder = hostile()
    path = next(folder.glob("runs/*/*/*/seed-0/record.json")) if file == "record.json" else folder / file
    whole = path.read_text()
    rng = random.Random(SEED)
    found = list(places(json.loads(whole)))
    assert len(found) > 10
    cases = [(place, rng.choice(HOSTILE)) for place in found]
    cases = rng.sample(cases, min(len(cases), 15))
    refused = 0
    for place, name in cases:
        data = json.loads(whole)
        put(data, place, name)
        path.write_text(json.dumps(data))
        seal(folder)
        refused += len(read_all(arena, folder, (verify_it, diff_it)))
    assert refused > 3


@pytest.mark.parametrize("name", HOSTILE)
def test_a_path_in_a_manifest_or_a_cell_name_is_refused(arena, hostile, name):
    folder = hostile()
    for file, change in (
        ("manifest.json", lambda data: data["files"].update({name: "0" * 64})),
        ("runs.json", lambda data: data["runs"][0].update(cell=name)),
        ("runs.json", lambda data: data["runs"][0].update(probe=name or "..")),
        ("runs.json", lambda data: data["runs"][0]["files"].update({name: "0" * 64})),
        ("layout.json", lambda data: data.update(name=name)),
        ("layout.json", lambda data: data["papers"].append(name)),
        ("layout.json", lambda data: data["tables"][0].update(table=name)),
        ("layout.json", lambda data: data["cells"].update({name: next(iter(data["cells"].values()))})),
    ):
        whole = (folder / file).read_text()
        data = json.loads(whole)
        change(data)
        (folder / file).write_text(json.dumps(data))
        refused = read_all(arena, folder, (verify_it, report_it, trace_it))
        assert len(refused) == 3, (file, name)
        assert all(file in line for line in refused)
        (folder / file).write_text(whole)


# -- things that are no files --------------------------------------------------------------------------------


def link_outside(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def link_folder(path: Path) -> None:
    path.symlink_to(path.parent, target_is_directory=True)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listen(path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path must be short
    server.bind(path.name)
    os.chdir(here)
    server.close()


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


@pytest.mark.parametrize("make", [link_outside, link_folder, pipe, listen, sparse])
@pytest.mark.parametrize("name", ["manifest.json", "values.csv", "papers/mmpareto/paper.yaml", "README.md", "new"])
def test_links_pipes_sockets_and_giants_are_refused_by_name(arena, hostile, make, name):
    folder = hostile()
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    refused = read_all(arena, folder, (verify_it, report_it, trace_it, judge_it))
    assert len(refused) == 4
    assert all(f"'{name}'" in line for line in refused)


@pytest.mark.parametrize("name", ["x\n.csv", "\x1b[2J", "a b", "..x", ".hidden", "-rf", "$(touch x)", "é", "CON"])
def test_a_file_of_an_unlikely_name_is_refused(arena, hostile, name):
    folder = hostile()
    (folder / "runs" / name).write_text("")
    assert len(read_all(arena, folder, (verify_it, report_it))) == 2


def test_bombs_are_refused(arena, hostile, monkeypatch):
    monkeypatch.setattr("counterpoise.files.unpack_gzip.__defaults__", (10**6,))
    folder = hostile()
    history = next(folder.glob("runs/*/*/*/seed-0/history.csv.gz"))
    history.write_bytes(gzip.compress(bytes(10**8)))
    (folder / "papers/mmpareto/claims.yaml").write_text(
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{', '.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    )
    assert any("stands for more than" in line for line in read_all(arena, folder, (verify_it,)))


# -- damage --------------------------------------------------------------------------------------------------

VALUES = (None, True, 0, -1, 7, 1e308, 10**30, "", "x", [], {}, [[]], {"a": {}}, "NaN", "../x")
FIELDS = ("", "nan", "inf", "-1", "1e999", "x", "\0", "\r", '"', "\x1b[2J", "0x10", "١", "1" * 400, "💥")


def mutate_json(rng: random.Random, data: bytes) -> bytes:
    """Change one value, key or type somewhere in JSON data."""
    whole = json.loads(data)
    at: Any = whole
    while isinstance(at, dict | list) and at:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = rng.choice(keys)
        if not isinstance(at[key], dict | list) or not at[key] or rng.random() < 0.15:
            action = rng.choice(("set", "set", "delete", "double"))
            if action == "set":
                at[key] = rng.choice(VALUES)
            elif action == "delete":
                del at[key]
            elif isinstance(at, list):
                at.append(at[key])
            else:
                at[f"{key}2"] = at[key]
            break
        at = at[key]
    return json.dumps(whole).encode()


def mutate_csv(rng: random.Random, data: bytes) -> bytes:
    """Change one field, line or the header of a CSV text."""
    lines = data.decode().splitlines()
    number = rng.randrange(len(lines))
    fields = lines[number].split(",")
    action = rng.choice(("field", "field", "field", "drop a field", "drop the line", "twice", "swap"))
    if action == "field":
        fields[rng.randrange(len(fields))] = rng.choice(FIELDS)
    elif action == "drop a field":
        fields.pop()
    lines[number] = ",".join(fields)
    if action == "drop the line":
        lines.pop(number)
    elif action == "twice":
        lines.insert(number, lines[number])
    elif action == "swap":
        lines[0], lines[number] = lines[number], lines[0]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, double or replace bytes."""
    action = rng.choice(("flip", "flip", "cut", "empty", "double", "zeros", "noise"))
    if action == "flip" and data:
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 8))):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    middle = rng.randrange(len(data) + 1)
    noise = rng.randbytes(20)
    return {
        "cut": data[:middle],
        "double": data + data,
        "zeros": bytes(len(data)),
        "noise": data[:middle] + noise + data[middle:],
    }.get(action, b"")


def mutate(rng: random.Random, path: Path) -> bytes:
    """Return another content for a file of a record."""
    data = path.read_bytes()
    if rng.random() < 0.25:
        return mutate_bytes(rng, data)
    if path.suffix == ".json":
        return mutate_json(rng, data)
    if path.suffix == ".csv":
        return mutate_csv(rng, data)
    if path.name.endswith(".csv.gz"):
        return gzip.compress(mutate_csv(rng, gzip.decompress(data)), mtime=0)
    if path.suffix == ".yaml":
        lines = data.decode().splitlines()
        number = rng.randrange(len(lines))
        lines[number] = rng.choice(("", "x: [", "  - ", lines[number] + " x", lines[number].replace(":", "", 1), "\t"))
        return ("\n".join(lines) + "\n").encode()
    return mutate_bytes(rng, data)


def kinds(folder: Path) -> list[Path]:
    """One file of each kind that is read."""
    run = next(folder.glob("runs/*/*/*/seed-1"))
    return [
        *(folder / name for name in (*RECORD_FILES, "values.csv", "correct.npz", "details.npz")),
        *(run / name for name in ("record.json", "predictions.npz", "history.csv.gz")),
        *(folder / f"comparison/mmpareto{end}" for end in (".csv", ".claims.csv", ".seeds.csv", ".rankings.csv")),
        *(folder / f"tables/mmpareto/table3{end}" for end in (".csv", ".md")),
        *(folder / f"papers/mmpareto/{name}.yaml" for name in ("paper", "table3", "claims")),
    ]


def damage_and_read(arena: Path, folder: Path, rounds: int, seed: int) -> int:
    """Damage one file after the other, with a manifest that fits and without; return how much was refused."""
    rng = random.Random(seed)
    refused = 0
    for path in kinds(folder):
        whole, manifest = path.read_bytes(), (folder / "manifest.json").read_bytes()
        for _ in range(rounds):
            path.write_bytes(mutate(rng, path))
            if path.name != "manifest.json":
                seal(folder)
            refused += len(read_all(arena, folder, (verify_it, diff_it, trace_it, report_it)))
            path.write_bytes(whole)
            (folder / "manifest.json").write_bytes(manifest)
    return refused


def test_damaged_files_of_every_kind_end_in_a_line_never_in_a_traceback(arena, hostile):
    assert damage_and_read(arena, hostile(), 2, SEED) > 20


@pytest.mark.slow_full
def test_damaged_files_of_every_kind_end_in_a_line_never_in_a_traceback_at_length(arena, hostile):
    assert damage_and_read(arena, hostile(), 40, SEED + 1) > 400
