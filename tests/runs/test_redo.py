"""What a run leaves for later: its logs, the command that makes it once more, and in what two records of it differ."""

from __future__ import annotations

import shlex

import pytest
from small_project import SmallProject

from counterpoise.cli import plumbing
from counterpoise.planning.benchmark import parse_overrides
from counterpoise.results.record import read_record
from counterpoise.runs.redo import differences, redo_command, run_logs


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    return SmallProject(tmp_path, repository)


def recorded(project, **changes):
    cell = project.cell("uniform")
    return read_record(project.run(cell, 0, **changes), cell.key, 0)


def test_the_same_bits_differ_in_nothing(project):
    assert differences(recorded(project), recorded(project, seconds=99.0)) == []


def test_other_bits_are_told_by_name(project):
    first, other = recorded(project), recorded(project, weights_sha256="b" * 64, epochs_run=3)
    told = " ".join(differences(first, other))
    assert "weights_sha256" in told
    assert f"epochs_run: recorded {first.epochs_run}, now 3" in told


def test_a_run_that_went_on_elsewhere_names_every_machine_as_a_reason(project):
    again = recorded(project, weights_sha256="b" * 64)
    (last,) = again.attempts
    first = last.model_copy(update={"environment": {**last.environment, "device_name": "Another Processor"}})
    resumed = again.model_copy(update={"attempts": (first, last), "weights_sha256": "a" * 64})
    assert differences(resumed, again)[-1] == (
        "environment: device_name was Another Processor, then An Old Processor, is An Old Processor"
    )


def test_logs_are_those_of_the_jobs_of_this_very_run(project):
    cell = project.cell("uniform")
    for job, seed in (("train", 1), ("train", 11), ("measure", 1)):
        log = project.root / "logs" / job / cell.name / f"seed-{seed}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    assert [path.parts[:2] for path in run_logs(project.root, cell, 1)] == [("logs", "measure"), ("logs", "train")]


def test_the_command_names_the_benchmark_with_its_settings(project):
    plan = project.plan(seeds=[4], title="a {x} b")
    words = shlex.split(redo_command(plan, project.root, plan.cells[0], 4))
    assert words[:3] == ["counterpoise", "redo", plan.cells[0].name]
    settings = [word.removeprefix("--set=") for word in words if word.startswith("--set=")]
    assert parse_overrides(settings) == {"seeds": [4], "title": "a {x} b"}


def test_what_rules_call_is_not_shown_to_users():
    assert all(command.hidden for command in plumbing.app.registered_commands)
