"""What ``counterpoise report-bug`` prints helps a maintainer and gives nobody away."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from counterpoise.cli.app import main
from counterpoise.cli.report_bug import without_private


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "configs/benchmarks"
    folder.mkdir(parents=True)
    (folder / "digits.yaml").write_text("name: digits\n", encoding="utf-8")
    return tmp_path


def fail_a_run(project: Path, seed: int, **failure) -> None:
    folder = project / f"results/runs/data/model/mmpareto-published.abc/seed-{seed}"
    folder.mkdir(parents=True)
    content = {"schema": 2, "key": "abc", "seed": seed, "failures": [failure]}
    (folder / "failure.json").write_text(json.dumps(content), encoding="utf-8")


def test_it_names_versions_benchmark_and_the_last_failure(project, capsys):
    fail_a_run(project, 0, status="failed", attempt=2, reason="ValueError: no", last_lines=["Traceback", "here"])
    assert main(["report-bug", "-b", "digits", "--root", str(project)]) == 0
    shown = capsys.readouterr().out
    for part in (platform.python_version(), "torch ", "benchmark: digits", "attempt 2: ValueError: no", "  | here"):
        assert part in shown


def test_without_a_failure_it_says_so(project, capsys):
    assert main(["report-bug", "--root", str(project)]) == 0
    assert "last failure: no run has left one" in capsys.readouterr().out


def test_a_torn_note_of_a_failure_is_no_second_error(project, capsys):
    fail_a_run(project, 0)
    next(project.rglob("failure.json")).write_text('{"failures": [', encoding="utf-8")
    assert main(["report-bug", "--root", str(project)]) == 0
    assert "its note cannot be read" in capsys.readouterr().out


def test_names_of_folders_people_and_machines_are_taken_out(project, monkeypatch, capsys):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    monkeypatch.setattr(platform, "node", lambda: "babbage")
    lines = [
        f'File "{project}/src/x.py" on babbage',
        "/home/ada/data for ada",
        "canada stays, with http://ada:pw@host/x",
    ]
    fail_a_run(project, 1, status="failed", attempt=1, reason="HF_TOKEN=abc123", last_lines=lines)
    assert main(["report-bug", "--root", str(project)]) == 0
    shown = capsys.readouterr().out
    assert not any(secret in shown for secret in (str(project), "babbage", "/home/ada", "abc123", "pw@"))
    assert "canada stays" in shown


def test_a_project_at_the_root_of_the_disk_leaves_paths_readable(monkeypatch):
    monkeypatch.setenv("HOME", "/")
    assert without_private("a/b/c", Path("/")) == "a/b/c"
