""" "Nothing to be done” is said only of files that a fresh run would write, whatever was done to them before.

A machine of states does at random what people do: other seeds and Ctrl-C, a kill, a file that is deleted, truncated or
edited, a command by hand with other settings, another benchmark in the same folder, a job that fails. After each act,
where a dry run finds nothing to do, the files are compared with those of a fresh run; at the end the plain command
must make the same files.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from miniature import BENCHMARK, NAME, TABLES, Project, kill_group
from sabotage import sabotage

OTHER = "configs/benchmarks/other.yaml"
NOTHING = "Nothing to be done"
SEEDS = [0, 1, 2]
HARMS = ("delete", "truncate", "edit", "edit, with its time set back", "swap")


def small(root: Path, repository: Path) -> Project:
    """A benchmark of one cell and three seeds, one epoch each, and another one that shares its cell."""
    table = {**TABLES[0], "rows": ["Uniform baseline"]}
    project = Project.create(root, repository, seeds=SEEDS, tables=[table])
    project.write(
        "configs/protocols/tiny.yaml",
        {"title": "One epoch", "optimiser": {"name": "adam", "lr": 0.005}, "epochs": 1, "batch_size": 256},
    )
    other = yaml.safe_load((project.root / BENCHMARK).read_text()) | {"name": "other", "seeds": [1]}
    project.write(OTHER, other)
    return project


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Project:
    """What a fresh run of the small benchmark writes; not to be changed."""
    project = small(tmp_path_factory.mktemp("truth") / "fresh", repository)
    assert project.run() == 0, project.said()[-4000:]
    return project


@pytest.fixture
def copied(fresh: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, Snakemake's notes included."""
    shutil.copytree(fresh.root, tmp_path / "copied", symlinks=True)
    return Project(tmp_path / "copied", fresh.checkout)


def nothing_to_do(project: Project) -> bool:
    before = len(project.said())
    assert project.run("--dry-run") == 0, project.said()[-4000:]
    return NOTHING in project.said()[before:]


def interrupt(project: Project, seconds: float, number: int, *arguments: str) -> None:
    """Start the workflow and stop it and all its jobs after a while, as Ctrl-C or a kill of the session does."""
    process = project.start(*arguments)
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    if number == signal.SIGKILL:
        kill_group(process)
    elif process.poll() is None:
        os.killpg(process.pid, number)
    process.wait(project.deadline)


def harm(project: Project, path: Path, how: str, others: list[Path]) -> None:
    data, before = path.read_bytes(), path.stat()
    changed = bytes([data[0] ^ 1]) + data[1:] if data else b"x"
    if how == "delete":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(data[: len(data) // 2])
    elif how == "swap":
        other = next((o for o in others if o.name == path.name and o != path), path)
        spare = path.with_name("spare")
        path.rename(spare)
        other.rename(path)
        spare.rename(other)
    else:
        path.write_bytes(changed)
        if "back" in how:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


class Users(RuleBasedStateMachine):
    """People at work in one project folder."""

    fresh: Project
    home: Path
    acts: list[str]

    @initialize(seed=st.integers(0, 10**6))
    def begin(self, seed: int) -> None:
        self.random = random.Random(seed)
        root = self.home / f"{time.monotonic_ns()}"
        shutil.copytree(self.fresh.root, root, symlinks=True)
        self.project = Project(root, self.fresh.checkout)
        self.expected = self.fresh.artifacts()

    def note(self, act: str) -> None:
        """Say what is done next: a long walk is followed, and its log kept."""
        self.acts.append(act)
        print(f"{len(self.acts)}: {act}", flush=True)

    def files(self) -> list[Path]:
        homes = ("results/runs", f"results/{NAME}")
        found = (path for home in homes for path in (self.project.root / home).rglob("*") if path.is_file())
        return sorted(path for path in found if not path.name.startswith("."))

    @rule(how=st.sampled_from(HARMS))
    def a_file_is_harmed(self, how: str) -> None:
        files = self.files()
        if files:
            path = self.random.choice(files)
            self.note(f"{how} {path.relative_to(self.project.root)}")
            harm(self.project, path, how, files)
            self.look()

    @rule(number=st.sampled_from([signal.SIGINT, signal.SIGKILL]), seconds=st.floats(0.5, 12.0))
    def other_seeds_and_a_stop(self, number: int, seconds: float) -> None:
        self.note(f"signal {number} after {seconds:.1f} s of other seeds")
        interrupt(self.project, seconds, number, "--config", "seeds=[1,5]")
        self.look()

    @rule(command=st.sampled_from(["report", "show"]), settings=st.sampled_from(["seeds=[0]", "seeds=[0,7]"]))
    def a_command_by_hand(self, command: str, settings: str) -> None:
        self.note(f"{command} --set {settings}")
        self.project.counterpoise(command, "--set", settings)
        self.look()

    @rule()
    def another_benchmark(self) -> None:
        self.note("another benchmark")
        other = Project(self.project.root, self.project.checkout)
        other.benchmark = OTHER
        assert other.run() == 0, other.said()[-4000:]
        self.look()

    @rule()
    def a_job_that_fails(self) -> None:
        self.note("a job that fails")
        folder = sabotage(self.home / "fault", "trainer.seed == 9", 'raise ValueError("a shape is wrong")')
        path = os.pathsep.join([str(folder), str(self.project.checkout / "src")])
        assert self.project.run("--config", "seeds=[0,9]", PYTHONPATH=path) == 1
        self.look()

    @rule()
    def a_whole_run(self) -> None:
        self.note("a whole run")
        self.come_right()

    def look(self) -> None:
        if nothing_to_do(self.project):
            assert self.project.artifacts() == self.expected, self.project.said()[-4000:]

    def come_right(self) -> None:
        # Runs of other seeds stay: they are right, and the benchmark does not ask for them.
        assert self.project.run() == 0, self.project.said()[-6000:]
        here = self.project.artifacts()
        assert {path: here.get(path) for path in self.expected} == self.expected
        assert nothing_to_do(self.project), self.project.said()[-4000:]

    def teardown(self) -> None:
        if hasattr(self, "project"):
            self.come_right()
            shutil.rmtree(self.project.root)


def walk(fresh: Project, home: Path, examples: int, steps: int) -> list[str]:
    """Let people do ``steps`` things in each of ``examples`` folders; return what they did."""
    acts: list[str] = []
    machine = type("Here", (Users,), {"fresh": fresh, "home": home, "acts": acts})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    return acts


@pytest.mark.slow
def test_a_short_walk_ends_where_a_fresh_run_does(fresh, tmp_path):
    assert walk(fresh, tmp_path, examples=1, steps=4)


@pytest.mark.slow_full
def test_long_walks_end_where_a_fresh_run_does(fresh, tmp_path):
    assert len(walk(fresh, tmp_path, examples=20, steps=10)) >= 190


@pytest.mark.slow
def test_after_an_interrupted_run_with_other_seeds_there_is_something_to_do(copied, fresh):
    # Stopped when it had begun to train: the tables then have a row that is not run.
    process = copied.start("--config", "seeds=[5]")
    copied.until(lambda: copied.processes("train"), process)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(copied.deadline)
    table = (copied.root / f"results/{NAME}/tables/mmpareto/table3.md").read_text()
    assert "not run" in table
    assert not nothing_to_do(copied)
    assert copied.run() == 0, copied.said()[-4000:]
    here = copied.artifacts()
    assert {path: here.get(path) for path in fresh.artifacts()} == fresh.artifacts()
    assert nothing_to_do(copied)


@pytest.mark.slow
def test_every_seed_is_trained_by_itself(fresh):
    """Jobs that train other seeds than those of their files fail; test_workflow.py plans many more of them."""
    records = [
        json.loads(path.read_text()) for path in sorted(fresh.root.glob("results/runs/*/*/*/seed-*/record.json"))
    ]
    assert [record["seed"] for record in records] == SEEDS
    assert len({record["weights_sha256"] for record in records}) == len(SEEDS)
