"""The basis of a derived folder: every change of what it rests on is seen, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from counterpoise.errors import UserError
from counterpoise.papers.paper import load_paper
from counterpoise.reporting.audit import write_audit
from counterpoise.results.basis import (
    BASIS,
    RESERVED,
    Basis,
    derived_problem,
    file_problem,
    now,
    read_basis,
    results_folder,
    stamp,
    what_is_asked,
    write_basis,
)


@pytest.fixture
def derived(tmp_path: Path) -> Path:
    """A derived folder of two files, whole."""
    folder = tmp_path / "results/small"
    (folder / "tables/paper").mkdir(parents=True)
    (folder / "values.csv").write_text("dataset,value\nd,1\n")
    (folder / "tables/paper/table1.md").write_text("| a | b |\n")
    write_basis(folder, Basis(asked="a" * 64, planned=2, finished=2, read_at=now(folder)))
    return folder


def problem(folder: Path, asked: str = "a" * 64) -> str:
    return derived_problem(folder, read_basis(folder), asked, folder / "no explanations")


def test_what_was_written_is_up_to_date(derived):
    assert problem(derived) == ""


@pytest.mark.parametrize("name", ["values.csv", "tables/paper/table1.md"])
@pytest.mark.parametrize("harm", ["delete", "truncate", "edit", "edit and set its time back", "replace by a link"])
def test_a_changed_file_is_named(derived, tmp_path, name, harm):
    path = derived / name
    text, before = path.read_text(), path.stat()
    if harm == "delete":
        path.unlink()
    elif harm == "truncate":
        path.write_text(text[:-3])
    elif harm == "replace by a link":
        (tmp_path / "other").write_text(text.replace("a", "z"))
        path.unlink()
        path.symlink_to(tmp_path / "other")
    else:
        path.write_text(text.replace("a", "z"))
    if harm.endswith("back"):
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert name in problem(derived)


def test_an_older_file_of_the_same_size_moved_into_place_is_named(derived, tmp_path):
    other = tmp_path / "other"
    other.write_text("dataset,value\nd,2\n")
    os.utime(other, (0, 0))
    shutil.move(other, derived / "values.csv")
    assert "values.csv" in problem(derived)


def test_other_times_alone_change_nothing(derived):
    for when in (0, 4e9):
        for path in derived.rglob("*"):
            os.utime(path, (when, when))
        assert problem(derived) == ""


def test_a_copy_is_as_good(derived, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(derived, copy, copy_function=shutil.copyfile)
    assert problem(copy) == ""


def test_another_question_is_another_basis(derived):
    assert "changed" in problem(derived, asked="b" * 64)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema": 1}', '{"schema": 1, "partial": false, "asked": 3, "runs": 7}']
)
def test_a_torn_basis_is_none(derived, text):
    (derived / BASIS).write_text(text)
    assert read_basis(derived) is None
    assert problem(derived) != ""


def test_a_basis_of_another_shape_is_none(derived):
    data = json.loads((derived / BASIS).read_text())
    for change in ({"schema": 99}, {"runs": {"r": 3}}, {"files": {"values.csv": [1]}}, {"more": 1}, {"planned": "2"}):
        (derived / BASIS).write_text(json.dumps(data | change))
        assert read_basis(derived) is None, change


def test_another_set_of_explanations_is_seen(derived, tmp_path):
    explanations = tmp_path / "results/explain/small"
    explanations.mkdir(parents=True)
    (explanations / "number.md").write_text("why")
    basis = read_basis(derived)
    assert "explanations" in derived_problem(derived, basis, "a" * 64, explanations)
    known = replace(basis, explanations={"number.md": stamp(explanations / "number.md")})
    assert derived_problem(derived, known, "a" * 64, explanations) == ""
    (explanations / "number.md").write_text("who")
    assert "number.md" in derived_problem(derived, known, "a" * 64, explanations)


def test_a_partial_basis_says_so(derived):
    assert not read_basis(derived).partial
    assert replace(read_basis(derived), finished=1).partial


def test_what_is_asked_follows_the_layout_and_the_papers(tmp_path):
    home = tmp_path / "configs/papers/one"
    home.mkdir(parents=True)
    (home / "paper.yaml").write_text("title: A\n")
    first = what_is_asked(tmp_path, "layout", ["one"])
    assert what_is_asked(tmp_path, "layout", ["one"]) == first
    assert what_is_asked(tmp_path, "another layout", ["one"]) != first
    (home / "paper.yaml").write_text("title: B\n")
    assert what_is_asked(tmp_path, "layout", ["one"]) != first


def test_a_file_as_old_as_the_moment_itself_is_compared_by_its_digest(tmp_path):
    path = tmp_path / "file"
    path.write_text("one")
    expected, at = stamp(path), path.stat().st_mtime_ns
    path.write_text("two")
    os.utime(path, ns=(at, at))
    assert "changed" in file_problem(path, expected, at)


@pytest.mark.parametrize("name", RESERVED)
def test_no_benchmark_takes_the_name_of_another_folder_of_results(tmp_path, name):
    with pytest.raises(UserError, match=name):
        results_folder(tmp_path, name)


def test_what_a_command_writes_beside_benchmarks_is_not_a_benchmarks_folder(tmp_path, repository):
    assert write_audit(load_paper(repository / "configs", "mlb"), tmp_path).parent.name in RESERVED
