"""The command line: what it prints, what it returns, and what it does not import."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import pytest
from small_project import BENCHMARK, SmallProject

from counterpoise import cli
from counterpoise.cli.app import main
from counterpoise.errors import UserError


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    return SmallProject(tmp_path, repository)


@pytest.fixture
def say(project, capsys):
    """Run a command that must succeed and return what it prints."""

    def run(*arguments: str, code: int = 0) -> str:
        assert main([*arguments, "--root", str(project.root), "--benchmark", str(BENCHMARK)]) == code
        return capsys.readouterr().out

    return run


def test_plan_counts_what_is_to_do_and_what_is_there(project, say):
    project.run(project.cell("uniform"), 0)
    said = say("plan")
    assert "8: 7 to do, 1 there" in said
    assert "to prepare" in said
    project.prepared(project.cell("uniform"))
    assert "to prepare" not in say("plan")


def test_plan_lists_every_cell_on_request(project, say):
    project.run(project.cell("uniform"), 0)
    listed = say("plan", "--cells")
    assert all(cell.name in listed for cell in project.plan().cells)
    assert f"{project.cell('uniform').name}  0 fresh, 1 missing" in listed
    assert project.cell("uniform").name not in say("plan")


def test_plan_estimates_from_recorded_runs_or_says_that_it_cannot(project, say):
    assert "unknown" in say("plan")
    project.run(project.cell("uniform"), 0, seconds=600.0)
    said = say("plan")
    assert "70 min" in said  # seven more runs
    assert "An Old Processor" in said


def test_plan_of_a_finished_benchmark_has_nothing_to_train(project, say):
    for cell in project.plan().cells:
        for seed in (0, 1):
            project.run(cell, seed)
    assert "nothing to train" in say("plan")


def test_plan_says_what_is_to_be_fetched_and_what_a_job_asks_for(project, say):
    said = say("plan")
    assert "to prepare; nothing to fetch" in said  # the digits come with a dependency
    assert "4 GB asked for each job, 0 GPU" in said


def test_plan_chooses_the_cells_that_a_budget_allows_and_keeps_the_list(project, say):
    project.run(project.cell("uniform"), 0, seconds=600.0)
    said = say("plan", "--budget", "100h")
    chosen = (project.root / "results/plan/chosen.txt").read_text().split()
    assert set(chosen) <= {cell.name for cell in project.plan().cells}
    assert chosen
    assert all(name in said for name in chosen)
    assert "snakemake chosen" in said


def test_plan_with_a_budget_for_nothing_chooses_nothing(project, say):
    project.run(project.cell("uniform"), 0, seconds=600.0)
    say("plan", "--budget", "1min")
    assert not (project.root / "results/plan/chosen.txt").exists()


def test_status_names_every_run_that_is_not_well(project, say):
    cell = project.cell("joint")
    project.run(cell, 0, status="diverged", reason="loss not finite at step 3")
    project.state(cell, 1, epoch=4)
    said = say("status")
    assert "1 diverged" in said
    assert "1 interrupted" in said
    assert "6 missing" in said
    assert "loss not finite at step 3" in said
    assert "epoch 5 of 20" in said


def test_status_names_orphans(project, say):
    old = project.cell("uniform")
    project.run(old, 0)
    project.benchmark(methods={"uniform": {"protocol": {"epochs": 3}}})
    assert str(project.root / old.directory) in say("status")


def test_adopt_prints_what_differs_and_where_the_runs_are(project, say):
    old = project.cell("uniform")
    project.run(old, 0)
    project.benchmark(methods={"uniform": {"protocol": {"epochs": 3}}})
    new = project.cell("uniform")
    said = say("adopt", old.name, new.name, "--reason", "why not")
    assert said.splitlines() == ["changed: config.protocol.epochs: 20 -> 3", str(project.root / new.run_directory(0))]


def test_trace_prints_every_variant(say):
    said = say("trace", "mmpareto.table3.MMPareto.cg_mnist.accuracy")
    assert "MMPareto@published" in said
    assert "MMPareto@released" in said


def test_overrides_change_the_plan(say):
    assert "12: 12 to do" in say("plan", "--set", "seeds=[0,1,2]")


def test_help_is_what_it_says_without_a_command(capsys):
    assert main([]) == 0
    bare = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == bare
    assert "status" in bare


# What goes wrong below the command line.


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("two\nlines"), "error: two lines"),
        (PermissionError(errno.EACCES, "Permission denied", "some/file"), "error: some/file: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    ],
)
def test_every_failure_is_one_line_and_exit_code_2(project, monkeypatch, capsys, error, said):
    def fail(*_):
        raise error

    monkeypatch.setattr(cli, "_plan", fail)
    assert main(["plan"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_a_mistake_of_the_program_is_not_hidden(monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "_plan", fail)
    with pytest.raises(ZeroDivisionError):
        main(["plan"])


def test_an_interrupted_command_says_so_by_its_exit_code(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_plan", interrupt)
    assert main(["plan"]) == 130


# What is imported. Each runs in a process of its own.

HEAVY = {"torch", "torchvision", "torchaudio", "sklearn"}
STARTUP = HEAVY | {"scipy", "pandas", "numpy", "sqlite3", "pydantic", "yaml", "snakemake", "matplotlib"}


def loaded(project, *arguments: str) -> tuple[int, set[str]]:
    """Return the exit code of a command and the top-level modules that it has loaded."""
    program = (
        "import json, sys\nfrom counterpoise.cli.app import main\n"
        "code = main(sys.argv[1:])\n"
        "print(json.dumps([code, sorted({name.partition('.')[0] for name in sys.modules})]), file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    return code, set(modules)


def test_help_imports_nothing_heavy(project):
    code, modules = loaded(project, "--help")
    assert code == 0
    assert modules & STARTUP == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan"],
        ["status"],
        ["trace", "mmpareto.table3.MMPareto.cg_mnist.accuracy"],
        ["gc"],
        ["table", "mmpareto", "table3"],
        ["compare", "mmpareto"],
        ["paper-values", "mmpareto"],
    ],
)
def test_commands_that_train_nothing_load_no_torch(project, arguments):
    options = [] if arguments[0] == "paper-values" else ["--benchmark", str(BENCHMARK)]
    code, modules = loaded(project, *arguments, *options)
    assert code == 0
    assert modules & (HEAVY - {"sklearn"}) == set()


def test_a_pipe_that_is_closed_early_is_no_failure(project):
    command = [sys.executable, "-m", "counterpoise", "paper-values", "mmpareto", "--format", "csv"]
    process = subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait()
