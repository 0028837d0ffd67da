"""A file is whole or not there, whatever happens while it is written."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from counterpoise import files
from counterpoise.errors import UserError


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "deep" / "down" / "x.json"
    files.write_json(path, {"b": [1, 2.5, None], "a": "é"})
    assert files.read_json(path, "thing") == {"a": "é", "b": [1, 2.5, None]}


def test_json_does_not_depend_on_the_order_of_keys(tmp_path):
    files.write_json(tmp_path / "a", {"x": 1, "y": 2})
    files.write_json(tmp_path / "b", {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_numbers_that_json_has_not_are_refused_and_the_old_file_stays(tmp_path):
    files.write_json(tmp_path / "x", {"a": 1})
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "x", {"a": float("nan")})
    assert files.read_json(tmp_path / "x", "thing") == {"a": 1}


def test_a_failure_while_writing_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")

    def fail():
        with files.atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_while_a_file_is_written_the_old_one_is_there(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with files.atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_written_files_are_readable_as_the_umask_says(tmp_path):
    files.write_text(tmp_path / "x", "")
    (tmp_path / "y").touch()
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == stat.S_IMODE((tmp_path / "y").stat().st_mode)


def test_a_folder_appears_whole(tmp_path):
    path = tmp_path / "x"
    with files.atomic_directory(path) as temporary:
        (temporary / "a").write_text("1")
        assert not path.exists()
    assert (path / "a").read_text() == "1"
    assert names(tmp_path) == ["x"]


def test_a_folder_replaces_the_old_one(tmp_path):
    path = tmp_path / "x"
    path.mkdir()
    (path / "old").touch()
    with files.atomic_directory(path) as temporary:
        (temporary / "new").touch()
    assert names(path) == ["new"]
    assert names(tmp_path) == ["x"]


def test_a_failure_leaves_the_old_folder_and_no_litter(tmp_path):
    path = tmp_path / "x"
    path.mkdir()
    (path / "old").touch()

    def fail():
        with files.atomic_directory(path) as temporary:
            (temporary / "new").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("write", [lambda path: files.write_text(path, "x"), lambda path: files.write_json(path, 1)])
def test_a_place_that_cannot_be_written_is_named(tmp_path, write):
    (tmp_path / "file").touch()  # root may write into any folder, but not below a file
    with pytest.raises(UserError, match=r"file/x: cannot be written"):
        write(tmp_path / "file" / "x")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/x: cannot be written"), files.atomic_directory(tmp_path / "file" / "x"):
        pass


def test_a_missing_file_is_named_with_what_it_is(tmp_path):
    with pytest.raises(UserError, match=r"x\.json: the run record is not there"):
        files.read_json(tmp_path / "x.json", "run record")


@pytest.mark.parametrize("text", ["", "{", '{"a": 1', "nothing"])
def test_a_truncated_file_is_named_with_what_to_do(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match=r"x\.json: the run record is truncated or not JSON .* delete it"):
        files.read_json(tmp_path / "x.json", "run record")


def test_a_folder_in_place_of_a_file_is_an_error_of_the_user(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        files.read_json(tmp_path, "run record")


def test_the_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert files.sha256_file(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_same_data_gives_the_same_bytes(tmp_path):
    data = {"a": [1, 2.5], "b": {"c": None}}
    files.write_json(tmp_path / "x", data)
    files.write_json(tmp_path / "y", json.loads((tmp_path / "x").read_text()))
    assert files.sha256_file(tmp_path / "x") == files.sha256_file(tmp_path / "y")


# Reading: bounded, and never of what is no file.


def test_what_is_no_regular_file_is_named_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    for path, kind in (
        (tmp_path / "pipe", "a pipe"),
        (tmp_path / "folder", "a folder"),
        (tmp_path / "socket", "a socket"),
        ("/dev/zero", "a device"),
    ):
        with pytest.raises(UserError, match=f"the thing cannot be read: it is {kind}, must be a regular file"):
            files.read_json(path, "thing")
        with pytest.raises(UserError, match=kind):
            files.sha256_file(path)


def test_a_sparse_giant_is_refused_by_its_size(tmp_path):
    with (tmp_path / "giant").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match=r"the thing has 1,099,511,627,776 bytes; at most"):
        files.read_json(tmp_path / "giant", "thing")


def test_deep_json_is_refused_however_it_is_nested(tmp_path):
    for text in ("[" * 100_000, '{"a":' * 200 + "1" + "}" * 200, '[{"a":' * 51 + "1" + "}]" * 51):
        (tmp_path / "x").write_text(text)
        with pytest.raises(UserError, match="nested deeper than 100 levels"):
            files.read_json(tmp_path / "x", "thing")
    (tmp_path / "x").write_text("[" * 100 + "]" * 100)
    files.read_json(tmp_path / "x", "thing")


@pytest.mark.parametrize("text", ['{"a": NaN}', "[Infinity]", "[-Infinity]", "\ufeff{}", '"\udc00"', "1" * 5000, ""])
def test_what_json_has_not_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "x").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError, match="not JSON") as refused:
        files.read_json(tmp_path / "x", "thing")
    assert "\n" not in str(refused.value)


def test_a_path_with_a_nul_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        files.read_json(tmp_path / "x\0y", "thing")


def test_packed_data_is_unpacked_only_as_far_as_it_should_be():
    assert files.unpack_gzip(gzip.compress(b"abc"), "x") == b"abc"
    with pytest.raises(UserError, match="x: unpacks to more than 1,000 bytes"):
        files.unpack_gzip(gzip.compress(bytes(10**7)), "x", 1000)
    for damaged in (b"", b"abc", gzip.compress(b"abc")[:-3], gzip.compress(b"abc") + b"more"):
        with pytest.raises(UserError, match="x: not readable as gzip"):
            files.unpack_gzip(damaged, "x")


# -- what killed processes leave ---------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from counterpoise import files
def rename(old, new):
    if Path(new) == Path(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(old, new)
real, Path.rename, Path.replace = Path.rename, rename, rename
if sys.argv[2] == "folder":
    with files.atomic_directory(Path(sys.argv[1])) as made:
        (made / "x").write_text("new")
else:
    files.write_text(Path(sys.argv[1]), "new")
"""


def killed_before_the_last_rename(path: Path, kind: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, path, kind], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL


def test_what_a_killed_process_left_goes_with_the_next_that_writes_there(tmp_path):
    killed_before_the_last_rename(tmp_path / "record", "folder")
    killed_before_the_last_rename(tmp_path / "note.txt", "file")
    assert len(list(tmp_path.iterdir())) == 2, "one hidden leftover of each"
    with files.atomic_directory(tmp_path / "record") as made:
        (made / "x").write_text("mine")
    files.write_text(tmp_path / "note.txt", "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["note.txt", "record"]


def test_a_folder_that_was_moved_aside_for_one_that_never_came_is_put_back(tmp_path):
    path = tmp_path / "record"
    with files.atomic_directory(path) as made:
        (made / "x").write_text("old")
    killed_before_the_last_rename(path, "folder")
    assert not path.exists(), "killed between the two renames"
    with pytest.raises(RuntimeError), files.atomic_directory(path):
        raise RuntimeError("this one fails, too")
    assert [entry.name for entry in tmp_path.iterdir()] == ["record"]
    assert (path / "x").read_text() == "old"


def test_what_another_process_is_writing_stays(tmp_path):
    with files.scratch_folder(tmp_path / "data") as first, files.scratch_folder(tmp_path / "data") as second:
        (first / "x").write_text("1")
        (second / "x").write_text("2")
        assert (first / "x").read_text() == "1"
    # 2**22 is more than any process number: of a container or machine that shares the folder, it may be alive there.
    for place in ("another-machine-1", f"{socket.gethostname()}-1"):
        elsewhere = tmp_path / f".data.{place}-{2**22 + 1}.abcdefgh"
        elsewhere.mkdir()
        with files.scratch_folder(tmp_path / "data"):
            assert elsewhere.exists()


def test_whoever_is_alone_clears_away_what_any_machine_left_and_puts_back_what_was_moved_aside(tmp_path):
    path = tmp_path / "data"
    torn, aside = (tmp_path / f".data.another-machine-7-1.{name}" for name in ("abcdefgh", "old.abcdefgh"))
    other = tmp_path / ".data.more.another-machine-7-1.abcdefgh"  # of data.more
    for folder in (torn, aside / "data", other):
        folder.mkdir(parents=True)
    (aside / "data/x").write_text("old")
    files.clear_left(path)
    assert not path.exists()
    files.clear_left(path, alone=True)
    assert sorted(tmp_path.iterdir()) == [other, path]
    assert (path / "x").read_text() == "old"


@pytest.mark.parametrize(
    ("content", "form"),
    [("a: 1".encode("utf-16"), "in UTF-16; save it as UTF-8"), (b"caf\xe9", r"not UTF-8 text \(byte 3\)")],
)
def test_text_of_another_encoding_is_named(tmp_path, content, form):
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(UserError, match=f"a.yaml: the dataset is {form}"):
        files.read_text(tmp_path / "a.yaml", "dataset")
