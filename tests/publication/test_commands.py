"""The whole way on the command line: publish, look elsewhere years later, verify, open, trace, compare."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from counterpoise.cli.app import main
from counterpoise.publication.publish import publish


@pytest.fixture
def here(project, monkeypatch):
    """The project, as the working folder."""
    monkeypatch.chdir(project.root)
    return project


@pytest.fixture
def history(here, finish, derive):
    """The project with its record committed as ``v1.0``, then published again from better runs."""

    def git(*arguments: str) -> None:
        names = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")
        subprocess.run(["git", *names, *arguments], cwd=here.root, check=True, capture_output=True)

    git("init", "-q")
    git("add", "results/published")
    git("commit", "-qm", "The first record")
    git("tag", "v1.0")
    finish(here, 3)
    derive(here)
    publish(here.root, "small")
    return here


def test_a_benchmark_is_published_and_verified_far_from_its_project(here, tmp_path, capsys):
    assert main(["publish", "--name", "first", "-b", "small"]) == 0
    assert "8 runs" in capsys.readouterr().out
    assert main(["verify", "-b", "small"]) == 0

    alone = shutil.copytree("results/published/first", tmp_path / "years later/first")
    shutil.rmtree(here.root / "configs")
    command = [sys.executable, "-m", "counterpoise", "verify", str(alone)]
    run = {"cwd": alone.parent, "capture_output": True, "text": True, "check": False, "env": os.environ}
    done = subprocess.run(command, **run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 of 8 finished runs recomputed from their predictions" in done.stdout

    (alone / "notes.md").write_text("Still standing.\n")
    assert main(["publish", "--again", "--name", str(alone)]) == 0
    assert "Still standing." in (alone / "README.md").read_text()
    values = alone / "values.csv"
    values.write_text(values.read_text().replace("0.65,20", "0.95,20", 1))
    done = subprocess.run(command, **run)
    assert done.returncode == 3
    assert "values.csv" in done.stdout


def test_a_record_opens_as_a_report_and_its_numbers_are_traced(here, capsys):
    assert main(["report", "--record", "small"]) == 0
    page = Path(capsys.readouterr().out.strip())
    assert page == Path("work/records/small/report/index.html")
    assert "MMPareto" in page.read_text()
    assert main(["trace", "mmpareto.table3.MMPareto.cg_mnist.accuracy", "--record", "small"]) == 0
    said = capsys.readouterr().out
    for fact in ("An Old Processor", "seed 1", "cg_digits/cg_digits_conv4/mmpareto-published", "counterpoise redo"):
        assert fact in said


def test_a_table_of_a_record_is_printed_as_that_of_the_benchmark(here, capsys):
    assert main(["table", "mmpareto.table3", "-b", "small", "-f", "csv"]) == 0
    of_benchmark = capsys.readouterr().out
    shutil.rmtree(here.root / "results/small")
    assert main(["table", "mmpareto.table3", "--record", "small", "-f", "csv"]) == 0
    assert capsys.readouterr().out == of_benchmark
    assert not (here.root / "results/small").exists(), "a record is read, nothing is written"
    assert main(["table", "mmpareto.tabel3", "--record", "small"]) == 2
    assert "did you mean 'mmpareto.table3'" in capsys.readouterr().err


def test_the_redo_line_of_a_record_compares_with_the_records_run(here, capsys, monkeypatch):
    assert main(["trace", "mmpareto.table3.MMPareto@published.cg_mnist.accuracy", "--record", "small"]) == 0
    said = capsys.readouterr().out
    assert " on :" not in said
    (line,) = [line for line in said.splitlines() if "redo" in line and "--seed 1" in line]
    words = shlex.split(line.partition("redo")[2])
    assert words[:2] == ["counterpoise", "redo"]
    assert words[-2:] == ["--record", "small"]

    def train(run, device, *rest):
        for file in (here.root / run.cell.run_directory(1)).parent.glob("seed-1.aside/*"):
            run.folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, run.folder / file.name)

    monkeypatch.setattr("counterpoise.runs.train.train_run", train)
    asked = []
    monkeypatch.setattr("counterpoise.cli.run.run_workflow", lambda *_, options, **__: asked.append(options) or code)
    code = 1
    assert main(words[1:]) == 2
    data = f"{here.cell('mmpareto').data.directory}/manifest.json"
    assert f"{data} could not be made" in capsys.readouterr().err
    assert asked == [["--", data]], "what the run starts from is made first"
    code = 0
    runs = here.root / here.cell("mmpareto").directory
    shutil.move(runs / "seed-1", runs / "seed-1.aside")  # no runs of one's own are needed
    assert main(words[1:]) == 0
    assert "the same, bit for bit" in capsys.readouterr().out
    other = runs / "seed-1.aside/record.json"
    other.write_text(other.read_text().replace('"epochs_run": ', '"epochs_run": 1'))
    assert main(words[1:]) == 3
    assert "epochs_run: recorded" in capsys.readouterr().out


def test_a_run_that_a_record_has_not_is_one_line(here, capsys):
    cell = here.cell("mmpareto").name
    assert main(["redo", cell, "--seed", "7", "--record", "small"]) == 2
    assert "--seed 7: results/published/small has no such seed; allowed: 0, 1" in capsys.readouterr().err
    assert main(["redo", cell.replace("mmpareto", "mmparetto"), "--seed", "0", "-r", "small"]) == 2
    assert f"did you mean '{cell}'?" in capsys.readouterr().err
    here.benchmark(methods={"mmpareto": {"protocol": {"epochs": 3}}})
    assert main(["redo", cell, "--seed", "0", "-r", "small"]) == 2
    assert "others than those of results/published/small" in capsys.readouterr().err


def test_records_of_the_package_are_found_outside_of_a_project(here, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("counterpoise.cli.project.packaged_project", lambda: here.root)
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    monkeypatch.chdir(nowhere)
    for arguments in (["list", "records"], ["show", "-r", "small"], ["verify", "small"]):
        assert main(arguments) == 0, arguments
    assert main(["publish", "--again", "--name", "small"]) == 2
    assert "not inside a Counterpoise project" in capsys.readouterr().err


def test_a_project_without_records_says_so(here, capsys):
    shutil.rmtree("results/published")
    assert main(["list", "records"]) == 0
    assert "no records here" in capsys.readouterr().err


# What the README shows: `diff v1.0 mosi`, `verify mosi`, `diff results/published/mosi results`, `diff A B`.


def test_a_record_as_of_a_tag_is_compared_with_itself_as_it_is(history, capsys):
    assert main(["verify", "small"]) == 0
    assert main(["diff", "v1.0", "small"]) == 3
    said = capsys.readouterr().out
    for level in ("numbers:", "rankings:", "claims:", "exit code"):
        assert level in said
    assert "+15.00" in said  # three of twenty predictions more
    assert main(["diff", "v1.0:small", "small", "--strict"]) == 3
    assert main(["diff", "v1.0:results/published/small", "HEAD:small", "--strict"]) == 0


def test_a_record_is_compared_with_the_results_as_they_are_now(history):
    assert main(["diff", "results/published/small", "results", "--strict"]) == 0
    assert main(["diff", "small", "results/small", "--strict"]) == 0
    assert main(["diff", "v1.0", "results", "--strict"]) == 3
    assert main(["diff", "v1.0", ".", "--strict"]) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "no-such"], "no-such: no published record"),
        (["verify", "../small"], "../small: no published record"),
        (["publish", "--again", "--name", "no-such"], "no-such: no published record"),
        (["report", "--record", "smal"], "did you mean 'small'"),
        (["trace", "mmpareto.table3.MMPareto.cg_mnist.accuracy", "--record", "smal"], "did you mean 'small'"),
        (["trace", "mmpareto.table3.Nothing.cg_mnist.accuracy", "--record", "small"], "there is no row 'Nothing'"),
        (["diff", "small", "no-such"], "neither a folder"),
        (["diff", "small", "results/published/small/tables"], "no comparison with a paper"),
    ],
)
def test_what_is_not_there_is_one_line_and_exit_code_2(here, capsys, arguments, said):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
