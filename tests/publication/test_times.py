"""Times are no results: runs made once more give the same files but for one block in three of them."""

from __future__ import annotations

import json
from pathlib import Path

from times import without_times

from counterpoise.publication.publish import publish
from counterpoise.results.table import read_results


def take_longer(project) -> None:
    """Let every run have been trained later, elsewhere, for longer and in two attempts."""
    for path in (project.root / "results/runs").glob("*/*/*/seed-*/record.json"):
        record = json.loads(path.read_text())
        record["seconds"] *= 3.7
        record["finished"] = "2027-10-11T12:13:14+00:00"
        first = record["attempts"][0] | {"started": "2027-10-10T01:01:01+00:00", "host": "another-machine"}
        record["attempts"] = [first, first | {"command": "counterpoise train --attempt 2", "epoch": 2, "step": 30}]
        path.write_text(json.dumps(record))


def files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def test_results_of_the_same_runs_with_other_times_differ_in_a_block_of_two_files(project, derive, tmp_path):
    derive(project)
    before = files((project.root / "results/small").rename(tmp_path / "before"))
    take_longer(project)
    derive(project)
    after = files(project.root / "results/small")
    assert list(after) == list(before)
    other = {name for name in after if after[name].read_bytes() != before[name].read_bytes()}
    assert other == {"runs.json", "report/environment.html"}
    assert [name for name in other if without_times(after[name]) != without_times(before[name])] == []


def test_a_published_record_of_them_differs_in_a_block_of_its_readme_too(project, derive, tmp_path):
    before = files((project.root / "results/published/small").rename(tmp_path / "before"))
    take_longer(project)
    derive(project)
    publish(project.root, "small")
    after = files(project.root / "results/published/small")
    other = {name for name in after if after[name].read_bytes() != before[name].read_bytes()}
    assert {Path(name).name for name in other} == {
        "runs.json",
        "environment.html",
        "README.md",
        "record.json",
        "manifest.json",
    }
    other.remove("manifest.json")  # the digests of all of them
    assert [name for name in other if without_times(after[name]) != without_times(before[name])] == []


def test_times_come_back_with_the_records_that_they_are_of(project, derive):
    results = derive(project)
    assert read_results(project.root / "results/small").runs == results.runs
