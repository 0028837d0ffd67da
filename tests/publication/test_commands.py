"""The whole way on the command line: publish, look elsewhere years later, verify, compare."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from counterpoise.cli.app import main
from counterpoise.judging.compare import compare_paper


def test_a_benchmark_is_published_verified_far_from_its_project_and_compared(project, tmp_path, capsys):
    options = ["--root", str(project.root), "--benchmark", "configs/benchmarks/small.yaml"]
    assert main(["publish", "--name", "first", *options]) == 0
    assert "8 runs" in capsys.readouterr().out
    for paper in project.plan().papers:
        compare_paper(project.plan(), project.root, paper).write(project.root)
    assert main(["verify", *options]) == 0
    results = str(project.root / "results")
    assert main(["diff", "first", results, "--strict", "--root", str(project.root)]) == 0

    alone = shutil.copytree(project.root / "results/published/first", tmp_path / "years later/first")
    shutil.rmtree(project.root)
    command = [sys.executable, "-m", "counterpoise", "verify", str(alone)]
    done = subprocess.run(command, cwd=alone.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 recomputed from their predictions" in done.stdout

    (alone / "notes.md").write_text("Still standing.\n")
    assert main(["publish", "--readme", "--name", str(alone)]) == 0
    assert "Still standing." in (alone / "README.md").read_text()
    (metrics, *_) = alone.glob("runs/*/*/mmpareto-*/seed-0/metrics.*.json")
    metrics.write_text(metrics.read_text().replace('"accuracy": 0.', '"accuracy": 0.0', 1))
    done = subprocess.run(command, cwd=alone.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert metrics.name in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "no-such"], "no-such: no published record"),
        (["publish", "--readme", "--name", "no-such"], "no-such: no published record"),
        (["diff", "small", "no-such"], "neither a folder"),
    ],
)
def test_what_is_not_there_is_one_line_and_exit_code_2(project, capsys, arguments, said):
    options = ["--root", str(project.root), "--benchmark", "configs/benchmarks/small.yaml"]
    assert main([*arguments, *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
