"""The miniature benchmark through a real SLURM of one node: whatever happens to a job, the results are the same."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from miniature import Project, kill
from sabotage import sabotage

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
DAEMONS = ("slurmctld", "slurmd", "squeue", "munged")
PROFILE = (
    *("--profile", "workflow/profiles/slurm", "--latency-wait", "30"),
    *("--slurm-init-seconds-before-status-checks", "3"),
)

# Seed 0 of three methods takes its time until a test has done something to its job; that of a fourth takes more memory
# than it asked for. Both only in the first attempt.
VICTIM = 'trainer.seed == 0 and not os.path.exists(f"work/let-go.{trainer.method.info.name}")'
FAULT = """import time
                    if trainer.method.info.name == "metabalance":
                        open("work/let-go.metabalance", "w").close()
                        held = b"x" * (3 << 30)
                        time.sleep(60)
                    time.sleep(1)"""


def installed() -> bool:
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    return all(shutil.which(name, path=path) for name in DAEMONS)


def install() -> None:
    """Install the daemons where that was asked for; skip elsewhere."""
    if not os.environ.get("COUNTERPOISE_TEST_INSTALLS"):
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


class Cluster:
    """A private SLURM of one node, with four CPUs and four pretended GPUs."""

    def __init__(self, home: Path, path: str) -> None:
        self.environment = {"SLURM_CONF": f"{home}/etc/slurm.conf", "PATH": path}

    def ask(self, *command: str) -> str:
        """Return what a command of SLURM says. Without a controller it would hang for minutes."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout

    def jobs(self, project: Project, named: str) -> list[dict[str, str]]:
        """Return the jobs of a project whose comment matches, finished ones too, in the order of submission."""
        fields = {"id": "%A", "state": "%T", "memory": "%m", "comment": "%k", "folder": "%Z"}
        said = self.ask("squeue", "--noheader", "--states=all", f"--format={'|'.join(fields.values())}")
        found = [dict(zip(fields, line.split("|"), strict=True)) for line in said.splitlines()]
        found = [job for job in found if job["folder"] == str(project.root) and re.search(named, job["comment"])]
        return sorted(found, key=lambda job: int(job["id"]))

    def running(self, project: Project, named: str) -> str:
        """Return the id of a job that runs, empty where none does."""
        return next((job["id"] for job in self.jobs(project, named) if job["state"] == "RUNNING"), "")

    def state(self, job: str) -> str:
        """Return the state of a job."""
        return self.ask("squeue", "--noheader", "--states=all", "--jobs", job, "--format=%T").strip()

    def has_steps(self) -> bool:
        """Return whether anything of a job is left on the node: it would not take the same job again."""
        jobs = "|".join(self.ask("squeue", "--noheader", "--format=%A").split())
        asked = ["pgrep", "--full", rf"^slurmstepd: \[({jobs})\."]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    def is_back(self, node: str) -> bool:
        """Return whether the node takes jobs again, which it is told to: it may also have come back by itself."""
        if self.ask("sinfo", "--noheader", "--format=%t").strip() in ("idle", "mix", "alloc"):
            return True
        with contextlib.suppress(subprocess.CalledProcessError):
            self.ask("scontrol", "update", f"nodename={node}", "state=resume")
        return False

    def start_at_once(self, job: str) -> None:
        """Spare a requeued job the two minutes that SLURM lets it wait."""
        self.ask("scontrol", "update", f"jobid={job}", "StartTime=now")

    def shown(self, job: str) -> str:
        """Return all that SLURM says of a job."""
        return self.ask("scontrol", "show", "job", job)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Cluster]:
    """The cluster; it is gone afterwards."""
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
        yield Cluster(home, path)
    finally:
        subprocess.run([repository / "tests/slurm/down.sh", home], env=environment, check=False, timeout=120)


@pytest.fixture
def project(tmp_path: Path, repository: Path, undisturbed_home: Path) -> Project:
    """The miniature benchmark with prepared data, and jobs that ask for a GPU."""
    job = {"save_seconds": 0.05, "mem_mb": 1500, "minutes": 10, "gpus": 1}
    made = Project.create(tmp_path / "project", repository, job=job)
    shutil.copytree(undisturbed_home / "data", made.root / "data")
    return made


@pytest.fixture
def start(project: Project, cluster: Cluster) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start Snakemake in the project on the cluster; it and its jobs end with the test at the latest."""

    def start_it(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        return project.start(*PROFILE, *arguments, **cluster.environment, **environment)

    yield start_it
    # Without cgroups, SLURM leaves some processes of a job that it killed.
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").resolve() == project.root.resolve():
                kill(int(entry.name))


def record_of(project: Project, method: str, seed: int = 0) -> dict[str, Any]:
    return json.loads(next(project.root.glob(f"results/runs/**/{method}-*/seed-{seed}/record.json")).read_text())


@pytest.mark.slow
@pytest.mark.slurm
def test_jobs_cancelled_requeued_and_out_of_time_or_memory_are_made_up_for(
    cluster: Cluster,
    project: Project,
    start: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
    repository: Path,
    undisturbed: dict[str, str],
):
    fault = sabotage(tmp_path / "fault", VICTIM, FAULT)
    python_path = os.pathsep.join([str(fault), str(repository / "src")])
    workflow = start(PYTHONPATH=python_path)

    acts = {
        "gradnorm": ("scancel", "{job}"),
        "mmpareto": ("scontrol", "requeue", "{job}"),
        "uniform": ("scontrol", "update", "jobid={job}", "EndTime=now"),
    }
    victims: dict[str, str] = {}

    def next_victim() -> tuple[str, str] | None:
        """Return a method that is still to be hit and whose job trains by now, with the job."""
        for method in acts.keys() - victims.keys():
            job = cluster.running(project, f"_{method}-.*_0$")
            if job and list(project.root.glob(f"work/**/{method}-*/seed-0/states/state-*.json")):
                return method, job
        return None

    while len(victims) < len(acts):
        found = project.until(next_victim, workflow)
        assert found is not None, project.said()[-6000:]
        method, job = found
        cluster.ask(*(word.format(job=job) for word in acts[method]))
        victims[method] = job
        project.until(lambda job=job: cluster.state(job) != "RUNNING", workflow)
        (project.root / f"work/let-go.{method}").touch()
    project.until(lambda: cluster.state(victims["mmpareto"]) == "PENDING", workflow)
    cluster.start_at_once(victims["mmpareto"])
    assert workflow.wait(900) == 0, project.said()[-6000:]

    def states(method: str) -> list[tuple[str, str]]:
        return [(job["state"], job["memory"]) for job in cluster.jobs(project, f"_{method}-.*_0$")]

    # What fails asks for as much again; what SLURM itself starts anew is the same job.
    assert states("gradnorm") == [("CANCELLED", "1500M"), ("COMPLETED", "3000M")]
    assert states("uniform") == [("TIMEOUT", "1500M"), ("COMPLETED", "3000M")]
    assert states("mmpareto") == [("COMPLETED", "1500M")]
    assert "Restarts=1 " in cluster.shown(victims["mmpareto"])
    (failed, again) = states("metabalance")
    assert failed[0] in ("OUT_OF_MEMORY", "FAILED", "CANCELLED")
    assert again == ("COMPLETED", "3000M")
    for method in acts:
        attempts = record_of(project, method)["attempts"]
        assert len(attempts) == 2
        assert attempts[1]["step"] > 0, f"{method} goes on from its saved state"
    for job in cluster.jobs(project, "."):
        assert "gpu:1" in cluster.shown(job["id"])
    assert project.artifacts() == undisturbed


@pytest.mark.slow
@pytest.mark.slurm
def test_short_runs_share_an_allocation_and_outlive_their_node(
    cluster: Cluster, project: Project, start: Callable[..., subprocess.Popen[bytes]], undisturbed: dict[str, str]
):
    """As docs/cluster.md says: Snakemake groups runs, one after the other in the resources of one."""
    packed = ("--groups", "train=runs", "--group-components", "runs=4")
    shared = ("--resources", "gpu=1", "mem_mb=1500", "--set-resource-scopes", "gpu=local", "mem_mb=local")
    workflow = start(*packed, *shared, "--", "train_all")

    def second_run_trains() -> bool:
        finished = list(project.root.glob("results/runs/*/*/*/seed-*/record.json"))
        return bool(finished) and bool(project.states()) and len(cluster.jobs(project, "runs")) == 2

    assert project.until(second_run_trains, workflow), project.said()[-6000:]
    allocations = [job["id"] for job in cluster.jobs(project, "runs")]
    cut_off = [job["id"] for job in cluster.jobs(project, "runs") if job["state"] == "RUNNING"]
    node = cluster.ask("sinfo", "--noheader", "--format=%n").strip()
    cluster.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    project.until(lambda: all(cluster.state(job) == "PENDING" for job in cut_off), workflow)
    project.until(lambda: not cluster.has_steps(), workflow)
    project.until(lambda: cluster.is_back(node), workflow)
    for job in cut_off:
        cluster.start_at_once(job)
    assert workflow.wait(900) == 0, project.said()[-6000:]

    assert cut_off
    assert all("Restarts=1 " in cluster.shown(job) for job in cut_off)
    assert [job["id"] for job in cluster.jobs(project, "runs")] == allocations, "eight runs in two allocations"
    trained = {name: digest for name, digest in undisturbed.items() if name.startswith("results/runs/")}
    assert {name: digest for name, digest in project.artifacts().items() if name.startswith("results/runs/")} == trained
