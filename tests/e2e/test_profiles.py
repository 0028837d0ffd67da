"""The profiles: every key is an option of Snakemake or of the executor, and the workflow plans or runs by them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from miniature import BENCHMARK, TABLES, Project
from sabotage import sabotage
from snakemake.cli import get_argument_parser

from counterpoise.components import component
from counterpoise.data.audiovisual import ClipDataset
from counterpoise.planning.configs import Configs

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
def test_a_benchmark_runs_by_the_generic_profile_with_a_submit_command_of_ones_own(tmp_path, repository):
    """The batch system is a script called sbatch that runs what it is given at once, in a process of its own."""
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    job = {"mem_mb": 3000, "minutes": 7}
    project = Project.create(tmp_path / "project", repository, job=job, seeds=[0], tables=[TABLES[1]])
    data = project.root / "configs/datasets/multi_digits.yaml"
    data.write_text(data.read_text() + "job: {cores: 2, mem_mb: 2500, minutes: 40}\n")
    system = tmp_path / "system"
    system.mkdir()
    script = '#!/bin/sh\necho "$@" >> submitted\nfor job; do :; done\nsetsid sh "$job" > "job.$$.log" 2>&1 &\necho $$\n'
    (system / "sbatch").write_text(script)
    (system / "sbatch").chmod(0o755)
    # The first attempt runs out of memory.
    first = 'not os.path.exists("work/failed")'
    fault = sabotage(tmp_path / "fault", first, 'open("work/failed", "w").close(); raise MemoryError("too little")')
    environment = {
        "PYTHONPATH": os.pathsep.join([str(fault), str(repository / "src")]),
        "PATH": os.pathsep.join([str(system), str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    generic = ("--profile", "workflow/profiles/generic", "--seconds-between-status-checks", "1")
    assert project.run(*generic, **environment) == 0, project.said()[-3000:]
    asked = [line.rpartition(" ")[0] for line in (project.root / "submitted").read_text().splitlines()]
    prepare, train, again = (
        f"--parsable --mem={memory} --time={minutes} --cpus-per-task={cores}"
        for memory, minutes, cores in ((2500, 40, 2), (3000, 7, 1), (6000, 14, 1))
    )
    assert asked == [prepare, train, again]
    assert len(list(project.root.glob("results/runs/*/*/*/seed-0/record.json"))) == 1
    assert (project.root / "results/miniature/report/index.html").is_file()


@pytest.mark.slow
def test_the_workflow_plans_by_the_profile_of_kubernetes_whose_executor_is_not_here(tmp_path, repository):
    project = Project.create(tmp_path / "project", repository)
    settings = read(project.root / "workflow/profiles/kubernetes")
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


def test_every_dataset_of_video_says_what_preparing_it_takes(repository):
    configs = Configs(repository / "configs")
    for name in configs.names("datasets"):
        config = configs.dataset(name)
        if issubclass(component("dataset", config.component).load(), ClipDataset) and name != "grid_sample":
            assert config.job.cores > 1, name
            assert config.job.minutes * config.job.cores >= 120, name
