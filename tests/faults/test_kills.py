"""Kill anything at any moment, give the same command again: the same bytes as if nothing had happened."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from miniature import BENCHMARK, NAME, TABLES, Project, kill, kill_group

TARGETS = ("train", "train", "train", "report", "prepare", "group", "group")
EVERY_KIND = (*TARGETS, "measure", "measure", "report")
CG_DIGITS = {"dataset": "cg_digits", "model": "cg_digits_tiny", "protocol": "tiny"}
COMMANDS = (("report",), ("publish",), ("verify", NAME), ("verify",), ("publish", "--again", "--name", NAME))


@pytest.fixture
def whole(tmp_path: Path, repository: Path) -> Project:
    """The miniature with a linear probe, which has a process of its own, and gradients measured for a figure."""
    column = CG_DIGITS | {"modalities": {"audio": "gray", "visual": "colour"}}
    table = {"paper": "mmpareto", "table": "table1", "columns": {"crema_d": column}, "rows": ["One joint loss"]}
    figure = {"paper": "mmpareto", "figure": "figure1d", "runs": CG_DIGITS | {"modalities": {"visual": "colour"}}}
    return Project.create(tmp_path / "whole", repository, tables=[*TABLES, table], figures=[figure])


def strike(project: Project, workflow: subprocess.Popen[bytes], target: str, rng: random.Random) -> bool:
    """Kill ``target`` at a random moment; return whether it was there to be killed."""
    if target == "group":
        time.sleep(rng.uniform(1.0, 8.0))
        alive = workflow.poll() is None
        kill_group(workflow)
        return alive
    if target == "train" and rng.random() < 0.7:  # among its steps, not in its start
        project.until(project.states, workflow)
        time.sleep(rng.uniform(0.0, 0.5))
    victims = project.until(lambda: project.processes(target), workflow)
    time.sleep(rng.uniform(0.0, 1.5) if target == "prepare" else rng.uniform(0.0, 0.5))
    return bool(victims) and kill(rng.choice(victims))


def pick(project: Project, done: Counter[str], rng: random.Random, targets: tuple[str, ...]) -> str:
    """Return what to kill next: something that this project still has to do.

    Data is prepared only in a run's first seconds, so that chance alone may never pick it: while it has had
    less than its share of the kills, it is the next.
    """
    if len(list(project.root.glob("data/prepared/*/manifest.json"))) == 2:
        return rng.choice([target for target in targets if target != "prepare"])
    if done["prepare"] <= done.total() // len(targets):
        return "prepare"
    return rng.choice(targets)


def survive(
    project: Project, expected: dict[str, str], kills: int, seed: int, targets: tuple[str, ...] = TARGETS
) -> Counter[str]:
    """Kill ``kills`` times while the benchmark runs, as often over as that takes; return what was killed."""
    rng = random.Random(seed)
    done: Counter[str] = Counter()
    while sum(done.values()) < kills:
        workflow = project.start()
        while workflow.poll() is None and sum(done.values()) < kills:
            target = pick(project, done, rng, targets)
            done[target] += strike(project, workflow, target, rng)
        if workflow.wait() == 0 or sum(done.values()) == kills:
            finish(project, expected)
            project.clear()
    return done


def finish(project: Project, expected: dict[str, str]) -> None:
    """Give the same command until it says that all is done: once, or again for runs left after two kills."""
    assert project.run() == 0 or project.run() == 0, project.said()[-6000:]
    assert project.artifacts() == expected
    assert not list(project.root.glob("work/**/state-*")), "a settled run leaves no state behind"
    assert leftovers(project) == []


def leftovers(project: Project) -> list[str]:
    """Temporary files and folders of ours, anywhere in the project."""
    ours = re.compile(rf"\..*\.{re.escape(socket.gethostname().replace('.', '_'))}-\d+-\d+\..*")
    return [str(path) for path in project.root.rglob(".*") if ours.fullmatch(path.name)]


def survive_commands(project: Project, kills: int, seed: int) -> Counter[str]:
    """Kill commands that a person gives after the workflow; a record is whole at any time, and the same in the end."""
    rng = random.Random(seed)
    assert project.counterpoise("publish").returncode == 0
    folder = project.root / "results/published" / NAME
    published = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    done: Counter[str] = Counter()
    while done.total() < kills:
        words = COMMANDS[done.total() % len(COMMANDS)]
        given = ["counterpoise", *words, *(() if "--name" in words or NAME in words else ("-b", project.benchmark))]
        process = subprocess.Popen(
            given, cwd=project.root, env=project.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(0.5, 6.0))
        process.kill()
        if process.wait() == -signal.SIGKILL:
            done[words[0]] += 1
        if folder.exists():  # else the kill came between two renames, and the next publication puts it back
            assert {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()} == published
    for words in (("report",), ("publish",)):
        assert project.counterpoise(*words).returncode == 0
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()} == published
    assert leftovers(project) == []
    return done


@pytest.mark.slow
def test_six_kills_leave_no_trace(project: Project, undisturbed: dict[str, str]):
    done = survive(project, undisturbed, kills=6, seed=7)
    assert sum(done.values()) == 6


@pytest.mark.slow_full
def test_sixty_kills_of_every_kind_of_process_leave_no_trace(whole: Project, record_property):
    assert whole.run() == 0, whole.said()[-4000:]
    expected = whole.artifacts()
    assert any("/probe." in path for path in expected)
    assert any("/gradients." in path for path in expected)
    whole.clear()
    done = survive(whole, expected, kills=50, seed=60, targets=EVERY_KIND)
    assert done.keys() == set(EVERY_KIND), dict(done)
    assert whole.run() == 0
    done += survive_commands(whole, kills=10, seed=10)
    record_property("kills", dict(done))
    print(dict(done))
    assert sum(done.values()) == 60


@pytest.mark.slow
def test_snakemake_killed_alone_and_started_at_once_trains_no_run_twice(undisturbed: dict[str, str], still_to_do):
    project = still_to_do("gradnorm", "metabalance")
    workflow = project.start()
    project.until(project.states, workflow)
    orphans = project.processes("train")
    kill(workflow.pid)
    workflow.wait()
    assert orphans
    # One of them may end by itself just then.
    assert set(orphans) & set(project.processes("train")), "children outlive a killed Snakemake"
    finish(project, undisturbed)


def expected_of(artifacts: dict[str, str], cell: str, seed: int) -> dict[str, str]:
    """The files of one run by name."""
    run = f"results/runs/{cell}/seed-{seed}/"
    return {path.removeprefix(run): artifacts[path] for path in artifacts if path.startswith(run)}


def trained(project: Project, cell: str, seed: int) -> dict[str, str]:
    return expected_of(project.artifacts(), cell, seed)


def start_training(project: Project, cell: str, seed: int) -> subprocess.Popen[bytes]:
    with project.log.open("ab") as log:
        return subprocess.Popen(
            ["counterpoise", "train", cell, "--seed", str(seed), "--benchmark", BENCHMARK],
            cwd=project.root,
            env=project.environment(),
            stdout=log,
            stderr=log,
        )


def steps_saved(project: Project) -> list[int]:
    """The steps of the states that are there, as far as they can be read while they change."""
    found = []
    for path in project.states():
        try:
            found.append(json.loads(path.read_text())["state"]["step"])
        except (OSError, ValueError):
            continue
    return found


@pytest.fixture
def prepared(tmp_path: Path, finished: Project) -> Project:
    """A project with prepared data that saves after every step."""
    project = Project.create(tmp_path / "prepared", finished.checkout, job={"save_seconds": 0.0})
    (project.root / "data").symlink_to(finished.root / "data")
    return project


def cell_of(project: Project, method: str) -> str:
    return next(cell for cell in project.cells() if f"/{method}-" in cell)


@pytest.mark.slow
def test_a_run_killed_inside_its_epochs_gives_the_same_weights_and_predictions(
    prepared: Project, undisturbed: dict[str, str]
):
    cell = cell_of(prepared, "gradnorm")
    for step in (5, 44):  # of 17 steps an epoch: inside the first and the last of three
        process = start_training(prepared, cell, 1)
        prepared.until(lambda wanted=step: max(steps_saved(prepared), default=0) >= wanted, process)
        assert kill(process.pid)
        process.wait()
        assert not list(prepared.root.glob("results/runs/**/record.json"))
    assert start_training(prepared, cell, 1).wait() == 0, prepared.said()[-4000:]
    here = trained(prepared, cell, 1)
    assert set(here) == {"record.json", "history.csv", "predictions.npz"}
    record = json.loads(next(prepared.root.glob("results/runs/**/record.json")).read_text())
    assert len(record["attempts"]) > 1
    assert here == expected_of(undisturbed, cell, 1)


@pytest.mark.slow
def test_a_signal_saves_the_state_and_the_same_command_goes_on(prepared: Project, undisturbed: dict[str, str]):
    cell = cell_of(prepared, "mmpareto")
    for number, step in ((signal.SIGTERM, 3), (signal.SIGUSR1, 20), (signal.SIGINT, 36)):
        process = start_training(prepared, cell, 0)
        prepared.until(lambda wanted=step: max(steps_saved(prepared), default=0) >= wanted, process)
        kill(process.pid, number)
        assert process.wait() == 75, prepared.said()[-4000:]
        assert step <= max(steps_saved(prepared)) < 51
    assert prepared.said().count("the same command goes on") == 3
    assert start_training(prepared, cell, 0).wait() == 0
    assert trained(prepared, cell, 0) == expected_of(undisturbed, cell, 0)
