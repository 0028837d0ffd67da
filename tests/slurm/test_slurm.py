"""The miniature benchmark through a real SLURM of one node: cancelled, out of memory, and done all the
same.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from miniature import Project
from sabotage import sabotage

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
DAEMONS = ("slurmctld", "slurmd", "squeue", "munged")

# The first attempt of one method takes more memory than it asked for; another is slow until it is cancelled.
HUNGRY = 'trainer.method.info.name == "metabalance" and not os.path.exists("work/ate")'
SLOW = 'trainer.method.info.name == "gradnorm" and not os.path.exists("work/cancelled")'
FAULT = """import time
                    if trainer.method.info.name == "metabalance":
                        open("work/ate", "w").close()
                        held = b"x" * (3 << 30)
                        time.sleep(60)
                    time.sleep(0.3)"""


def installed() -> bool:
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    return all(shutil.which(name, path=path) for name in DAEMONS)


def install() -> None:
    """Install the daemons where that is nobody's own machine, or was asked for; skip elsewhere."""
    booted = Path("/run/systemd/system").is_dir()  # sd_booted(3): mostly not in a container
    if booted and not os.environ.get("COUNTERPOISE_TEST_INSTALLS"):
        pytest.skip(f"{', '.join(PACKAGES)} are not installed; 'make test-slurm' installs them")
    if shutil.which("apt-get") is None:
        pytest.skip(f"{', '.join(PACKAGES)} are not installed, and there is no apt-get")
    quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "capture_output": True}
    try:
        subprocess.run(["apt-get", "update", "-qq"], check=False, timeout=300, **quiet)
        get = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES]
        done = subprocess.run(get, check=False, timeout=600, **quiet)
    except subprocess.TimeoutExpired as error:
        pytest.skip(f"{', '.join(PACKAGES)} cannot be installed: {error}")
    if done.returncode != 0 or not installed():
        pytest.skip(f"{', '.join(PACKAGES)} cannot be installed: {done.stderr.decode()[-300:]}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[dict[str, str]]:
    """The environment of a user of a private SLURM; it is gone afterwards."""
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the extra 'slurm' is not installed")
    if os.geteuid() != 0:
        pytest.skip("starting SLURM's daemons needs root")
    if not installed():
        install()
    home = tmp_path_factory.mktemp("slurm")
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    environment = {**os.environ, "PATH": path}
    up = [repository / "tests/slurm/up.sh", home, str(os.getpid())]
    started = subprocess.run(up, env=environment, capture_output=True, text=True, check=False, timeout=120)
    try:
        if started.returncode == 3:
            pytest.skip(started.stderr.strip())
        assert started.returncode == 0, started.stderr
        yield {"SLURM_CONF": f"{home}/etc/slurm.conf", "PATH": path}
    finally:
        subprocess.run([repository / "tests/slurm/down.sh", home], env=environment, check=False, timeout=120)


def queue(cluster: dict[str, str]) -> list[dict[str, str]]:
    """Every job that the cluster knows of, finished ones too."""
    fields = {"id": "%i", "state": "%T", "memory": "%m", "comment": "%k"}
    said = ask(cluster, "squeue", "--noheader", "--states=all", f"--format={'|'.join(fields.values())}")
    return [dict(zip(fields, line.split("|"), strict=True)) for line in said.splitlines()]


def ask(cluster: dict[str, str], *command: str) -> str:
    """What a command of the cluster says. Without a controller it would hang for minutes."""
    environment = {**os.environ, **cluster}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def of_method(jobs: list[dict[str, str]], method: str) -> list[dict[str, str]]:
    return sorted(
        (job for job in jobs if method in job["comment"] and "train" in job["comment"]), key=lambda job: int(job["id"])
    )


@pytest.mark.slow
@pytest.mark.slurm
def test_a_cancelled_and_an_oversized_job_are_made_up_for_and_the_results_are_the_same(
    cluster: dict[str, str], tmp_path: Path, repository: Path, undisturbed_home: Path
):
    job = {"save_seconds": 0.05, "mem_mb": 1500, "minutes": 10, "gpus": 1}
    project = Project.create(tmp_path / "project", repository, job=job)
    shutil.copytree(undisturbed_home / "data", project.root / "data")
    fault = sabotage(tmp_path / "fault", f"({HUNGRY}) or ({SLOW})", FAULT)
    environment = {**cluster, "PYTHONPATH": os.pathsep.join([str(fault), str(repository / "src")])}
    workflow = project.start(
        *("--profile", "workflow/profiles/slurm", "--latency-wait", "30"),
        *("--slurm-init-seconds-before-status-checks", "3"),
        **environment,
    )

    def running() -> list[dict[str, str]]:
        if not list(project.root.glob("work/**/gradnorm*/seed-0/states/state-*.json")):
            return []
        return [job for job in of_method(queue(cluster), "gradnorm") if job["state"] == "RUNNING"]

    (victim,) = project.until(running, workflow)
    ask(cluster, "scancel", victim["id"])
    (project.root / "work/cancelled").touch()
    assert workflow.wait(600) == 0, project.said()[-6000:]

    jobs = queue(cluster)
    cancelled = of_method(jobs, "gradnorm")  # two seeds, a job each, and the one that was cancelled once more
    assert sorted(job["state"] for job in cancelled) == ["CANCELLED", "COMPLETED", "COMPLETED"]
    record = json.loads(next(project.root.glob("results/runs/**/gradnorm*/seed-0/record.json")).read_text())
    assert len(record["attempts"]) == 2

    oversized = of_method(jobs, "metabalance")
    failed = [job for job in oversized if job["state"] in ("OUT_OF_MEMORY", "FAILED", "CANCELLED")]
    again = [job for job in oversized if job["memory"] == "3000M"]
    assert failed
    assert {job["memory"] for job in failed} == {"1500M"}
    assert [job["state"] for job in again] == ["COMPLETED"] * len(failed)
    for job in cancelled + oversized:
        assert "gpu:1" in ask(cluster, "scontrol", "show", "job", job["id"])

    expected = json.loads((undisturbed_home / "artifacts.json").read_text())
    assert project.artifacts() == expected


@pytest.mark.slow
@pytest.mark.slurm
def test_short_runs_share_an_allocation(
    cluster: dict[str, str], tmp_path: Path, repository: Path, undisturbed_home: Path
):
    """As docs/cluster.md says: Snakemake groups runs, one after the other in the resources of one."""
    job = {"mem_mb": 1500, "minutes": 10, "gpus": 1}
    project = Project.create(tmp_path / "project", repository, job=job)
    shutil.copytree(undisturbed_home / "data", project.root / "data")
    before = {job["id"] for job in queue(cluster)}
    packed = ("--groups", "train=runs", "--group-components", "runs=4")
    shared = ("--resources", "gpu=1", "mem_mb=1500", "--set-resource-scopes", "gpu=local", "mem_mb=local")
    workflow = project.start(
        *("--profile", "workflow/profiles/slurm", "--latency-wait", "30", *packed, *shared),
        *("--slurm-init-seconds-before-status-checks", "3", "--", "train_all"),
        **cluster,
    )
    assert workflow.wait(600) == 0, project.said()[-6000:]
    assert len({job["id"] for job in queue(cluster)} - before) == 2, "eight runs in two allocations"
    assert len(list(project.root.glob("results/runs/*/*/*/seed-*/record.json"))) == 8
