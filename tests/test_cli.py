"""The command line: what it prints, what it returns, and what it does not import."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib.metadata import version

import pytest
import typer.main
import yaml
from small_project import BENCHMARK, SmallProject

from counterpoise.cli import run
from counterpoise.cli.app import app, main
from counterpoise.cli.run import _downloads
from counterpoise.errors import UserError
from counterpoise.files import write_json
from counterpoise.papers.paper import PaperNumber
from counterpoise.planning.plan import make_plan


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    return SmallProject(tmp_path, repository)


@pytest.fixture
def say(project, capsys):
    """Run a command that must succeed and return what it prints."""

    def run(*arguments: str, code: int = 0) -> str:
        assert main([*arguments, "--root", str(project.root), "--benchmark", "small"]) == code
        return capsys.readouterr().out

    return run


def test_plan_counts_what_is_to_do_and_what_is_there(project, say):
    project.run(project.cell("uniform"), 0)
    said = say("plan")
    assert "8: 7 to do, 1 there" in said
    assert "to prepare" in said
    project.prepared(project.cell("uniform"))
    assert "to prepare" not in say("plan")


def test_plan_prepares_nothing_for_runs_that_are_done(project, say):
    for cell in project.plan().cells:
        for seed in project.plan().seeds:
            project.run(cell, seed)
    said = say("plan")
    assert "to prepare" not in said
    assert "not needed: its runs are done" in said


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


def test_an_estimate_is_said_to_be_an_upper_bound_where_patience_may_end_runs(project, say):
    project.run(project.cell("uniform"), 0, seconds=600.0)
    assert "at most" not in say("plan")
    path = "configs/protocols/digits.yaml"
    protocol = yaml.safe_load((project.root / path).read_text())
    project.write(path, protocol | {"patience": 3})
    assert "at most, since all epochs are counted" in say("plan")


def test_printed_numbers_are_shown_whole_on_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["values", "mmpareto"]) == 0
    said = capsys.readouterr().out
    assert "underlin" in said
    assert "…" not in said


def test_printed_text_in_brackets_is_shown_as_it_is(monkeypatch, capsys):
    row = PaperNumber(*("[bold]x[/] [3]" if number == 0 else "" for number in range(len(PaperNumber._fields))))
    monkeypatch.setattr("counterpoise.papers.paper.printed_values", lambda paper: [row])
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["values", "mmpareto"]) == 0
    assert "[bold]x[/] [3]" in capsys.readouterr().out


def test_plan_of_a_finished_benchmark_has_nothing_to_train(project, say):
    for cell in project.plan().cells:
        for seed in (0, 1):
            project.run(cell, seed)
    assert "nothing to train" in say("plan")


def test_plan_says_what_is_to_be_fetched_and_what_a_job_asks_for(project, say):
    said = say("plan")
    assert "to prepare; nothing to fetch" in said  # the digits come with a dependency
    assert "4 GB asked for each job, 0 GPU" in said


def test_plan_counts_each_file_to_fetch_once_with_its_size_where_that_is_known(repository, tmp_path):
    plan = make_plan(repository, repository / "configs/benchmarks/mmpareto.yaml")
    said = _downloads(plan, tmp_path)
    assert said["crema_d"] == "to fetch: 2 files, 156 kB; the files that are listed there, about 7.5 GB"
    assert said["kinetics_sounds"] == "to fetch: 2 files, 539 kB; 1 file of about 436 GB; 1 by hand"
    assert said["nyuv2"] == "to fetch: 1 file of unknown size"


def test_raw_files_that_cannot_be_looked_at_do_not_end_a_plan(repository, tmp_path, monkeypatch):
    def to_fetch(component, *rest):
        if component == "crema_d":
            raise PermissionError(errno.EACCES, "Permission denied", "data/raw/crema_d/train.csv")
        return 0, 0, 0, 0, 0

    monkeypatch.setattr("counterpoise.data.status.to_fetch", to_fetch)
    said = _downloads(make_plan(repository, repository / "configs/benchmarks/mmpareto.yaml"), tmp_path)
    assert said.pop("crema_d") == "its raw files cannot be looked at: data/raw/crema_d/train.csv: Permission denied"
    assert set(said.values()) == {"nothing to fetch"}


def test_plan_and_status_are_data_for_scripts(project, say):
    project.run(project.cell("uniform"), 0)
    plan, status = json.loads(say("plan", "--json")), json.loads(say("status", "--json"))
    assert plan["runs"] == status["runs"] == {"planned": 8, "fresh": 1, "missing": 7}
    assert plan["cells"] == [cell.name for cell in project.plan().cells]
    assert len(status["unfinished"]) == 7
    assert {run["state"] for run in status["unfinished"]} == {"missing"}


def test_watching_shows_the_epoch_of_a_run_in_training_and_ends_with_the_last_run(project, say, monkeypatch):
    cells = [(cell, seed) for cell in project.plan().cells for seed in (0, 1)]
    for cell, seed in cells[1:]:
        project.run(cell, seed)
    cell, seed = cells[0]
    work = project.root / "work" / cell.name / f"seed-{seed}"
    write_json(work / "attempt.json", {})
    write_json(work / "progress.json", {"epoch": 4, "epochs": 20, "seconds_per_epoch": 30.0, "at": time.time()})
    monkeypatch.setattr(time, "sleep", lambda seconds: project.run(cell, seed))
    first, second = re.split(r"(?=small: 8 of 8)", say("status", "--watch"))
    assert "small: 7 of 8 runs finished" in first
    assert f"seed {seed}: epoch 4 of 20" in first
    assert "about 8 min left" in first
    assert second.startswith("small: 8 of 8 runs finished")


def test_status_names_every_run_that_is_not_well(project, say):
    cell = project.cell("joint")
    project.run(cell, 0, status="diverged", reason="loss not finite at step 3")
    project.state(cell, 1, epoch=4)
    said = say("status")
    assert "1 diverged" in said
    assert "1 interrupted" in said
    assert "6 missing" in said
    assert "loss not finite at step 3" in said
    assert "epoch 5 of 6" in said


def test_status_names_orphans(project, say):
    old = project.cell("uniform")
    project.run(old, 0)
    project.benchmark(methods={"uniform": {"protocol": {"epochs": 3}}})
    assert str(project.root / old.directory) in say("status")


def test_another_benchmark_that_is_wrong_does_not_keep_status_from_this_one(project, capsys):
    project.write("configs/benchmarks/wrong.yaml", "name: wrong\n")
    assert main(["status", "--root", str(project.root), "--benchmark", "small"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("small: 8 runs")
    assert "wrong.yaml: the key 'title' is missing" in said.err


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


def test_commands_are_few_and_in_named_groups():
    commands = typer.main.get_command(app).commands
    shown = {name: command for name, command in commands.items() if not command.hidden}
    assert len(shown) < 20
    panels = {command.rich_help_panel for command in shown.values()}
    assert panels == {"Run", "Results", "Records", "Data", "Extend", "List"}
    assert {"train", "measure", "fetch", "prepare", "fetch-weights", "report-bug"} == set(commands) - set(shown)


def test_the_version_is_the_packages(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"counterpoise {version('counterpoise')}\n"


# Ctrl-C.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "stopped; the same command goes on where it was"),
        (["data", "status"], "stopped; the same command goes on where it was"),
        (["check", "joint"], "stopped; nothing was changed"),
        (["verify"], "stopped; nothing was changed"),
        (["report"], "stopped; the same command starts again"),
        (["plan", "--measure"], "stopped; the same command starts again"),
    ],
)
def test_a_command_that_is_stopped_says_what_became_of_its_work(monkeypatch, capsys, arguments, said):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("counterpoise.cli.app.app", stop)
    assert main(arguments) == 130
    assert capsys.readouterr().err == f"{said}\n"


def test_it_is_said_also_where_typer_has_caught_the_interrupt(project, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("counterpoise.planning.plan.make_plan", stop)
    assert main(["plan", "--root", str(project.root), "--benchmark", "small"]) == 130
    assert capsys.readouterr().err == "stopped; nothing was changed\n"


def test_a_folder_that_cannot_be_written_is_one_line(project, capsys, monkeypatch):
    def read_only(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)
    assert main(["run", "--root", str(project.root), "--benchmark", "small"]) == 2
    assert str(project.root) in capsys.readouterr().err
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", read_only)
    assert main(["show", "--root", str(project.root), "--benchmark", "small"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(project.root) in line
    assert "not up to date" in line


def test_run_waits_for_snakemake_when_it_is_stopped(tmp_path):
    """Like a terminal, the test sends SIGINT to the whole process group."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    end = "import pathlib; pathlib.Path('ended').write_text('x')"
    script = f"#!{sys.executable}\nimport time\ntry:\n  print('up', flush=True)\n  time.sleep(60)\n"
    script += f"except KeyboardInterrupt:\n  time.sleep(1)\n  {end}\n"
    (bin_folder / "snakemake").write_text(script)
    (bin_folder / "snakemake").chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from counterpoise.cli import app, run; "
        "run.sys.executable = sys.argv[1] + '/python'; "
        "asked = run.Request(root=Path(), benchmark=Path('x')); "
        "app.app = lambda *_, **__: run.run_workflow(asked, cores='1', profile=None); sys.exit(app.main(['run']))"
    )
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-c", code, str(bin_folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, **pipes) as process:
        assert process.stdout.readline() == "up\n"
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (tmp_path / "ended").exists()
    assert err.splitlines()[-1] == "stopped; the same command goes on where it was"


# What is handed on to Snakemake.


@pytest.fixture
def checked(project, repository):
    """Check what is handed on, in a project that has the workflow."""
    shutil.copy(repository / "Snakefile", project.root)
    shutil.copytree(repository / "workflow", project.root / "workflow")
    return lambda *given: run.check_options(given, ["--set", "--cores"], project.root)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--sett", "x"], "run --sett: there is no such option; did you mean '--set'?"),
        (["--keep-goin"], ""),  # Snakemake, too, takes what begins an option
        (["--kep-going"], "did you mean '--keep-going'?"),
        (["--xyzzy=1"], "neither 'counterpoise run' nor snakemake has it"),
        (["foo"], "run foo: neither a rule of the workflow nor a file that it makes"),
        (["train_al"], "did you mean 'train_all'?"),
        (["small"], "did you mean '-b small'?"),
        (["-k", "foo"], "run foo"),
        (["train_all", "--forcerun", "foo", "bar", "--until", "foo", "-j4", "results/x.md"], ""),
    ],
)
def test_what_snakemake_would_answer_at_length_is_refused_in_a_line(checked, given, said):
    if not said:
        checked(*given)
        return
    with pytest.raises(UserError, match=re.escape(said)):
        checked(*given)


@pytest.mark.parametrize(("options", "said"), [((), "what came out\n"), (("--summary",), "")])
def test_run_says_what_came_out_also_where_nothing_was_to_do(tmp_path, monkeypatch, capsys, options, said):
    (tmp_path / "snakemake").write_text(f"#!/bin/sh\necho $COUNTERPOISE_CLOSED_BY_CALLER > {tmp_path}/told\n")
    (tmp_path / "snakemake").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("counterpoise.cli.closing.closing_lines", lambda folder: ["what came out"])
    asked = run.Request(root=tmp_path, benchmark=tmp_path / "x.yaml")
    assert run.run_workflow(asked, cores="1", profile=None, options=options, results="small") == 0
    assert capsys.readouterr().out == said
    assert (tmp_path / "told").read_text().strip() == ("yes" if said else "")


# Which project and which benchmark.


@pytest.mark.parametrize("name", ["small", "configs/benchmarks/small.yaml"])
def test_a_benchmark_is_named_or_a_path(project, capsys, name):
    assert main(["plan", "--root", str(project.root), "-b", name]) == 0
    assert "8 to do" in capsys.readouterr().out


def test_a_misspelt_benchmark_is_answered_by_the_nearest(project, capsys):
    assert main(["plan", "--root", str(project.root), "-b", "smal"]) == 2
    assert "did you mean 'small'?" in capsys.readouterr().err


def test_commands_find_the_project_from_a_folder_in_it(project, monkeypatch, capsys):
    monkeypatch.chdir(project.root / "configs/papers")
    assert main(["plan", "-b", "small"]) == 0
    assert "8 to do" in capsys.readouterr().out


def test_outside_of_a_project_the_way_in_is_said(tmp_path_factory, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path_factory.mktemp("nowhere"))
    assert main(["plan"]) == 2
    said = capsys.readouterr().err
    assert "not inside a Counterpoise project" in said
    assert "counterpoise new project" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "papers"], "mmpareto"),
        (["list", "benchmarks"], "digits"),
        (["values", "mmpareto", "-f", "csv"], "table3,"),
        (["audit", "mlb"], "# Audit of MLB"),
    ],
)
def test_what_comes_with_the_package_is_there_outside_of_a_project(
    tmp_path_factory, monkeypatch, capsys, arguments, said
):
    nowhere = tmp_path_factory.mktemp("nowhere")
    monkeypatch.chdir(nowhere)
    assert main(arguments) == 0
    assert said in capsys.readouterr().out
    assert list(nowhere.iterdir()) == []


def test_a_project_can_be_made_anywhere_and_is_whole(tmp_path, repository, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "project", "mine"]) == 0
    assert "counterpoise run" in capsys.readouterr().out
    project = tmp_path / "mine"
    for name in ("Snakefile", ".gitignore", "configs/benchmarks/digits.yaml", "profiles/default/profile.yaml"):
        assert (project / name).read_bytes() == (repository / name).read_bytes()
    monkeypatch.chdir(project)
    assert main(["plan"]) == 0
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all", "--cores", "1"]
    subprocess.run(command, check=True, capture_output=True, cwd=project)
    assert main(["new", "project"]) == 2
    assert "is there already; nothing was written" in capsys.readouterr().err


@pytest.mark.slow
def test_a_wheel_has_what_a_project_is_made_of(tmp_path, repository):
    """Built from a copy, so that nothing is left in the checkout; used from a folder that is no project."""
    copy = tmp_path / "copy"
    for name in ("src", "configs", "workflow"):
        shutil.copytree(repository / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("Snakefile", ".gitignore", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(repository / name, copy / name)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "-w",
        "out",
        "./copy",
    ]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "setuptools" in done.stderr and "No module" in done.stderr:
        pytest.skip("needs setuptools in this environment")
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    assert (tmp_path / "installed/counterpoise/py.typed").is_file()
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    for arguments, said in ((["list", "papers"], "mlb"), (["new", "project", "mine"], "Snakefile")):
        command = [sys.executable, "-m", "counterpoise", *arguments]
        done = subprocess.run(command, cwd=nowhere, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, said in done.stdout) == (0, True), done.stderr
    assert (nowhere / "mine/configs/papers/mlb/paper.yaml").is_file()
    assert (nowhere / "mine/profiles/slurm/profile.yaml").is_file()


@pytest.mark.parametrize(
    ("what", "name"), [("papers", "mmpareto"), ("benchmarks", "small"), ("methods", "agm"), ("datasets", "cg_digits")]
)
def test_what_there_is_can_be_listed(project, capsys, what, name):
    assert main(["list", what, "--root", str(project.root)]) == 0
    assert any(line.split()[0] == name for line in capsys.readouterr().out.splitlines())
    assert main(["list", what, "--root", str(project.root), "--json"]) == 0
    assert name in [entry["name"] for entry in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize(
    ("what", "file", "text", "said"),
    [
        ("records", "results/published/torn/layout.json", "[]", "must have keys"),
        ("records", "results/published/torn/layout.json", "{", "is truncated or not JSON"),
        ("benchmarks", "configs/benchmarks/torn.yaml", "title: [", "not readable as YAML"),
        ("benchmarks", "configs/benchmarks/torn.yaml", "- x", "must have keys"),
        ("datasets", "configs/datasets/torn.yaml", "title: [", "not readable as YAML"),
        ("models", "configs/models/torn.yaml", "nothing: 1", "torn.yaml"),
        ("papers", "configs/papers/torn/paper.yaml", "[", "not readable as YAML"),
    ],
)
def test_one_file_that_cannot_be_read_does_not_hide_the_others_of_a_list(project, capsys, what, file, text, said):
    assert main(["list", what, "--root", str(project.root)]) == 0
    before = capsys.readouterr().out.splitlines()
    (project.root / file).parent.mkdir(parents=True, exist_ok=True)
    (project.root / file).write_text(text)
    assert main(["list", what, "--root", str(project.root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("torn ")]
    assert "cannot be read: " in line
    assert said in line
    assert {row.split()[0] for row in lines} == {row.split()[0] for row in before} | {"torn"}


# What reads results brings them up to date first.


def whole(project) -> None:
    for cell in project.plan().cells:
        for seed in (0, 1):
            project.run(cell, seed, 15)


def test_results_are_brought_up_to_date_before_they_are_shown(project, say):
    assert "partial results, 0 of 8 runs" in say("show")
    whole(project)
    assert "small: 8 runs" in say("show")
    shown = say("table", "mmpareto.table3")
    assert "75.00" in shown
    (project.root / "results/small/values.csv").write_text("nonsense")
    assert say("table", "mmpareto.table3") == shown, "what was changed is computed again, not taken over"


def test_a_table_is_printed_in_the_papers_style_with_a_caption_of_ones_own(project, say):
    whole(project)
    text = say(
        "table", "mmpareto.table3", "--format", "tex", "--style", "paper", "--caption", "Mine.", "--label", "t:a"
    )
    assert "\\caption{Mine.}" in text
    assert "\\label{t:a}" in text
    assert "$\\pm$" not in text


def test_results_that_are_up_to_date_are_not_written_again(project, say):
    whole(project)
    say("report")
    before = (project.root / "results/small/basis.json").stat().st_mtime_ns
    say("show")
    assert (project.root / "results/small/basis.json").stat().st_mtime_ns == before


def test_a_run_whose_files_are_not_its_records_enters_no_table(project, say, capsys):
    whole(project)
    cell = project.cell("uniform")
    first, second = (project.root / cell.run_directory(seed) / "predictions.npz" for seed in (0, 1))
    second.write_bytes(first.read_bytes() + b"x")
    assert main(["report", "--root", str(project.root), "-b", "small"]) == 2
    said = capsys.readouterr().err
    assert str(second) in said
    assert "counterpoise run" in said
    assert not (project.root / "results/small").exists()


def test_the_difference_with_a_paper_says_that_nothing_was_compared(project, say):
    whole(project)
    assert "nothing was compared" in say("diff", "mmpareto", code=5)
    assert json.loads(say("diff", "mmpareto", "--json", code=5))["exit_code"] == 5


def test_a_published_record_is_compared_with_the_paper_by_itself(repository, capsys):
    record = repository / "results/published/table5"
    summary = json.loads((record / "summary.json").read_text())["papers"]["mmpareto"]
    assert main(["diff", "mmpareto", "--record", str(record), "--json"]) == summary["exit_code"]
    assert json.loads(capsys.readouterr().out)["numbers"] == summary["numbers"]
    assert main(["diff", "mlb", "-r", str(record)]) == 2
    assert "mmpareto" in capsys.readouterr().err
    assert main(["diff", "mosi", "table5", "-r", str(record)]) == 2
    assert "--record" in capsys.readouterr().err


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

    monkeypatch.setattr(run, "request", fail)
    assert main(["plan"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_a_mistake_of_the_program_is_not_hidden(monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(run, "request", fail)
    with pytest.raises(ZeroDivisionError):
        main(["plan"])


def test_an_interrupted_command_says_so_by_its_exit_code(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "request", interrupt)
    assert main(["plan"]) == 130


# What is imported, in a process that has imported nothing before (test_architecture.py has what needs no project).

NO_TORCH = (
    *("plan", "status", "trace mmpareto.table3.MMPareto.cg_mnist.accuracy", "gc"),
    *("table mmpareto.table3", "show", "report"),
)


def test_commands_that_train_nothing_load_no_torch(project):
    commands = [*(f"{command} --benchmark {BENCHMARK}" for command in NO_TORCH), "values mmpareto"]
    program = (
        "import json, sys\nfrom counterpoise.cli.app import main\n"
        "for command in sys.argv[1:]:\n"
        "    code = main(command.split())\n"
        "    heavy = sorted({'torch', 'torchvision', 'torchaudio'} & set(sys.modules))\n"
        "    print(json.dumps(['loaded', command, code, heavy]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *commands], cwd=project.root, capture_output=True, text=True, check=True
    )
    said = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('["loaded"')]
    assert said == [["loaded", command, 0, []] for command in commands]


def test_a_pipe_that_is_closed_early_is_no_failure(project):
    command = [sys.executable, "-m", "counterpoise", "values", "mmpareto", "--format", "csv"]
    process = subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait()
