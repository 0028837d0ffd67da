"""The profiles: every key is an option of Snakemake or of the executor, and the workflow plans by them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from miniature import BENCHMARK, Project
from snakemake.cli import get_argument_parser

PROFILES = sorted((Path(__file__).resolve().parents[2] / "workflow/profiles").iterdir())
DEFAULT = {"scheduler": "greedy", "rerun-incomplete": True, "keep-going": True, "nolock": True}


def read(profile: Path) -> dict:
    return yaml.safe_load((profile / "profile.yaml").read_text())


def is_executors(key: str, executor: str | None) -> bool:
    """Whether an option belongs to an executor plugin, which may not be installed."""
    return executor is not None and key.startswith(f"{executor}-")


def test_there_are_profiles_for_a_machine_and_for_clusters():
    assert {"default", "laptop", "multi-gpu", "slurm", "kubernetes", "generic"} <= {p.name for p in PROFILES}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_key_is_an_option_of_snakemake(profile):
    options = set(get_argument_parser()._option_string_actions)
    settings = read(profile)
    executor = settings.get("executor")
    own = [key for key in settings if not is_executors(key, executor)]
    assert [key for key in own if f"--{key}" not in options] == []
    if executor is not None and any(option.startswith(f"--{executor}-") for option in options):
        assert [key for key in settings if f"--{key}" not in options] == []


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_profile_resumes_and_keeps_going_by_existence_alone(profile):
    settings = read(profile)
    assert {key: settings.get(key) for key in DEFAULT} == DEFAULT
    assert settings["rerun-triggers"] == ["mtime"]
    assert "keep-incomplete" not in settings  # a half file would count as whole


@pytest.mark.slow
@pytest.mark.parametrize("name", ["generic", "kubernetes"])
def test_the_workflow_plans_by_a_profile_whose_executor_is_not_here(tmp_path, repository, name):
    project = Project.create(tmp_path / "project", repository)
    settings = read(project.root / "workflow/profiles" / name)
    executor = settings.pop("executor")
    kept = {key: value for key, value in settings.items() if not is_executors(key, executor)}
    project.write("profile.yaml", kept)
    (project.root / "plain").mkdir()
    (project.root / "profile.yaml").rename(project.root / "plain/profile.yaml")
    command = ["snakemake", "--profile", "plain", "--dry-run", "--quiet", "rules", "--configfile", BENCHMARK]
    run = {"cwd": project.root, "env": project.environment(), "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, **run)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "train" in done.stdout + done.stderr
