"""A full disk, files that others changed, two Snakemakes at once, a file system without locks."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from miniature import BENCHMARK, Project


@pytest.fixture
def tmpfs(tmp_path: Path):
    """Mount a small file system of its own and return it with a function that fills and frees it."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    home = tmp_path / "small"
    home.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", home], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no small file system here: {done.stderr.strip()}")
    yield home
    subprocess.run(["umount", "-l", home], check=True)


def fill(folder: Path) -> Path:
    """Take every byte that is left; return the file that holds them."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
    return ballast


@pytest.fixture
def done(tmp_path: Path, finished: Project) -> Project:
    """A project in which everything is done, to be disturbed."""
    shutil.copytree(finished.root, tmp_path / "done", symlinks=True)
    return Project(tmp_path / "done", finished.checkout)


def without_data(artifacts: dict[str, str]) -> dict[str, str]:
    return {path: digest for path, digest in artifacts.items() if not path.startswith("data/")}


@pytest.mark.slow
def test_a_full_disk_is_said_and_freeing_it_gives_the_same_bytes(
    tmpfs: Path, tmp_path: Path, undisturbed: dict[str, str], still_to_do
):
    project = still_to_do("metabalance", root=tmpfs / "project")
    project.log = tmp_path / "snakemake.log"  # what it says is not lost with the disk
    # The workflow engine and the logs elsewhere: ours is what fails.
    (tmp_path / ".snakemake").mkdir()
    shutil.move(project.root / "logs", tmp_path / "logs")
    for name in ("logs", ".snakemake"):
        (project.root / name).symlink_to(tmp_path / name)
    ballast = fill(tmpfs)
    assert project.run("--", "runs_all") == 1
    assert "No space left on device" in project.said()
    assert not list(project.root.glob("results/runs/multi_digits/**/record.json"))
    ballast.unlink()
    assert project.run() == 0, project.said()[-4000:]
    assert without_data(project.artifacts()) == without_data(undisturbed)


@pytest.mark.slow
def test_a_damaged_and_a_missing_run_behind_finished_tables_are_made_again(done: Project, undisturbed: dict[str, str]):
    def run_of(method: str, seed: int) -> Path:
        return (
            next(done.root / "results/runs" / cell for cell in done.cells() if f"/{method}-" in cell) / f"seed-{seed}"
        )

    damaged = run_of("uniform", 0) / "predictions.npz"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    shutil.rmtree(run_of("gradnorm", 1))
    ended = done.counterpoise("report")
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert str(damaged.relative_to(done.root)) in line
    here = done.artifacts()
    tables = {path for path in undisturbed if path.startswith("results/miniature/")}
    assert {path: here[path] for path in tables} == {path: undisturbed[path] for path in tables}
    assert done.run() == 0, done.said()[-4000:]
    assert without_data(done.artifacts()) == without_data(undisturbed)


@pytest.mark.slow
def test_of_two_workflows_at_once_the_second_is_refused_and_the_first_is_not_disturbed(
    undisturbed: dict[str, str], still_to_do
):
    project = still_to_do("metabalance")
    one = project.start()
    project.until(lambda: project.processes("train"), one)
    done = subprocess.run(
        ["snakemake", "--cores", "1", "--configfile", BENCHMARK],
        cwd=project.root,
        env=project.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "another snakemake is at work" in done.stdout + done.stderr
    assert one.wait() == 0, project.said()[-4000:]
    assert without_data(project.artifacts()) == without_data(undisturbed)


NO_LOCKS = """
import errno, fcntl, os

flock = fcntl.flock

def refused(descriptor, operation):
    if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/counterpoise.lock"):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    return flock(descriptor, operation)

fcntl.flock = refused
"""


@pytest.mark.slow
def test_a_workflow_on_a_file_system_without_locks_says_so_in_a_line(project: Project, tmp_path: Path):
    (tmp_path / "fault").mkdir()
    (tmp_path / "fault/sitecustomize.py").write_text(NO_LOCKS)
    path = os.pathsep.join([str(tmp_path / "fault"), str(project.checkout / "src")])
    assert project.run(PYTHONPATH=path) == 1
    assert "counterpoise.lock: cannot be locked (No locks available)" in project.said()
    assert "Traceback" not in project.said()
