"""DVC records, shows and carries what Snakemake made, and `dvc repro` makes what is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from miniature import BENCHMARK, NAME, Project

pytestmark = pytest.mark.slow


def call(project: Project, *command: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder or project.root, env=project.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def recorded(copied: Project) -> Project:
    """The finished benchmark in a Git repository with DVC, as after a direct or a cluster run."""
    root, checkout = copied.root, copied.checkout
    for name in (".gitignore", ".dvcignore"):
        shutil.copy(checkout / name, root)
    text = (checkout / "dvc.yaml").read_text()
    assert "benchmark: digits" in text
    (root / "dvc.yaml").write_text(text.replace("benchmark: digits", f"benchmark: {NAME}"))
    shutil.copytree(checkout / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    (root / "src").mkdir(exist_ok=True)
    (root / "src/README").write_text("the package is installed\n")
    call(copied, "git", "init", "-q", "-b", "main")
    call(copied, "git", "config", "user.email", "someone@example.org")
    call(copied, "git", "config", "user.name", "Someone")
    return copied


def test_dvc_records_shows_and_carries_what_snakemake_made(recorded, finished, tmp_path):
    call(recorded, "dvc", "commit", "-f")
    assert "up to date" in call(recorded, "dvc", "status")
    call(recorded, "git", "add", "-A")
    call(recorded, "git", "commit", "-qm", "Results")
    tracked = call(recorded, "git", "ls-files").splitlines()
    assert "dvc.lock" in tracked
    assert not [name for name in tracked if name.startswith(("results/", "data/prepared", "data/raw/"))]

    # One line per row of a table, with its means, and one with the verdicts.
    shown = json.loads(call(recorded, "dvc", "metrics", "show", "--json"))
    files = {Path(name).name: found["data"] for name, found in shown[""]["data"].items()}
    assert set(files) == {
        "GradNorm.json",
        "MMPareto.json",
        "Uniform_baseline.json",
        "MetaBalance.json",
        "verdicts.json",
    }
    assert set(files["MMPareto.json"]) == {"cg_mnist accuracy", "cg_mnist macro_f1"}
    assert 0 < files["MMPareto.json"]["cg_mnist accuracy"] < 100
    assert files["verdicts.json"] == {"compared": 0, "reproduced": 0, "deviates": 0, "supported": 0, "refuted": 0}

    call(recorded, "dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    page = (tmp_path / "plots/index.html").read_text()
    for name in ("MMPareto (published)", "GradNorm (published)", "train loss of joint", "facet"):
        assert name in page

    call(recorded, "dvc", "remote", "add", "-d", "lab", str(tmp_path / "remote"))
    call(recorded, "dvc", "push")
    clone = tmp_path / "clone"
    call(recorded, "git", "clone", "-q", str(recorded.root), str(clone))
    call(recorded, "dvc", "remote", "add", "-d", "lab", str(tmp_path / "remote"), folder=clone)
    call(recorded, "dvc", "pull", folder=clone)
    pulled = Project(clone, recorded.checkout)
    assert pulled.artifacts() == finished.artifacts()
    assert not set(pulled.planned_jobs("--configfile", BENCHMARK)) & {"prepare", "train", "measure"}


def test_dvc_repro_makes_what_is_missing_and_nothing_else(recorded, finished):
    call(recorded, "dvc", "commit", "-f")
    runs = sorted(path.parent for path in (recorded.root / "results/runs").rglob("record.json"))
    times = {run: (run / "record.json").stat().st_mtime_ns for run in runs}
    shutil.rmtree(runs[0])
    call(recorded, "dvc", "repro")
    # The report names the commit that a run was trained at, which is this repository's now.
    here, expected = recorded.artifacts(), finished.artifacts()
    assert here.keys() == expected.keys()
    assert [name for name in here if here[name] != expected[name] and "/report/" not in name] == []
    made = {run for run in runs if (run / "record.json").stat().st_mtime_ns != times[run]}
    assert made == {runs[0]}
