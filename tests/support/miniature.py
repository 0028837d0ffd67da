"""A whole benchmark in miniature, in a folder of its own, run through Snakemake as a user runs it.

The folder gets copies of the checkout's ``Snakefile``, ``workflow/`` and ``configs/``, and a benchmark of its
own: real digits, networks of a few channels, a few epochs, methods that carry state of every kind. The
package itself is the checkout's.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

NAME = "miniature"
BENCHMARK = f"configs/benchmarks/{NAME}.yaml"
DEADLINE = 900.0
NOTHING_TO_DO = "Nothing to be done"

# What of a record is of the moment and the machine rather than of the run.
MOMENTARY = ("finished", "seconds", "attempts")

MODEL = {
    "title": "Tiny encoders",
    "encoders": {
        "gray": {"component": "conv4", "settings": {"channels": 4, "width": 16}},
        "colour": {"component": "conv4", "settings": {"channels": 4, "width": 16}},
    },
    "fusion": {"component": "concat"},
}
TASKS_MODEL = {
    "title": "Tiny LeNet",
    "encoders": {"image": {"component": "lenet", "settings": {"channels": 2, "kernel": 3, "width": 8}}},
    "head": {"hidden": 8},
}
PROTOCOL = {"title": "A few steps of Adam", "optimiser": {"name": "adam", "lr": 0.005}, "epochs": 3, "batch_size": 64}
TASKS_PROTOCOL = {
    "title": "A few steps of SGD",
    "optimiser": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4},
    "epochs": 2,
    "batch_size": 128,
}
TABLES = [
    {
        "paper": "mmpareto",
        "table": "table3",
        "columns": {"cg_mnist": {"dataset": "cg_digits", "model": "cg_digits_tiny", "protocol": "tiny"}},
        "rows": ["Uniform baseline", "GradNorm", "MMPareto"],
    },
    {
        "paper": "mmpareto",
        "table": "table5",
        "columns": {"multi_mnist": {"dataset": "multi_digits", "model": "multi_digits_tiny", "protocol": "tiny_sgd"}},
        "rows": ["MetaBalance"],
    },
]


class Project:
    """A project folder with the miniature benchmark in it."""

    def __init__(self, root: Path, checkout: Path) -> None:
        self.root = Path(root)
        self.checkout = checkout
        self.benchmark = BENCHMARK
        self.deadline = DEADLINE
        self.log = self.root / "snakemake.log"

    # -- making it -------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, root: Path, checkout: Path, **benchmark: Any) -> Project:
        """Make the folder; keywords are laid over the benchmark's keys."""
        project = cls(root, checkout)
        project.root.mkdir(parents=True)
        shutil.copy(checkout / "Snakefile", root)
        for folder in ("workflow", "configs"):
            shutil.copytree(checkout / folder, root / folder)
        (root / "profiles").symlink_to("workflow/profiles")
        project.write("configs/models/cg_digits_tiny.yaml", MODEL)
        project.write("configs/models/multi_digits_tiny.yaml", TASKS_MODEL)
        project.write("configs/protocols/tiny.yaml", PROTOCOL)
        project.write("configs/protocols/tiny_sgd.yaml", TASKS_PROTOCOL)
        project.write(
            BENCHMARK,
            {
                "name": NAME,
                "title": "The whole chain in miniature",
                "seeds": [0, 1],
                "job": {"save_seconds": 0.2},  # several times in a run of a few seconds
                "tables": TABLES,
                **benchmark,
            },
        )
        return project

    def write(self, path: str, data: Any) -> None:
        """Write a configuration file."""
        (self.root / path).write_text(yaml.safe_dump(data, sort_keys=False))

    def clear(self) -> None:
        """Remove everything that was generated."""
        for name in ("results", "data", "work", "logs", ".snakemake"):
            shutil.rmtree(self.root / name, ignore_errors=True)

    # -- running it ------------------------------------------------------------------------------------------

    def environment(self, **extra: str) -> dict[str, str]:
        """The environment of a user who has installed this checkout."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {**os.environ, "PATH": path, "PYTHONPATH": str(self.checkout / "src"), "OMP_NUM_THREADS": "1", **extra}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start Snakemake in a process group of its own; what it says goes to the end of :attr:`log`."""
        command = ["snakemake", "--cores", "2", "--configfile", self.benchmark, *arguments]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.root,
                env=self.environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *arguments: str, **environment: str) -> int:
        """Run Snakemake to its end and return its exit code."""
        process = self.start(*arguments, **environment)
        try:
            return process.wait(self.deadline)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def counterpoise(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line in the project, on its benchmark."""
        return subprocess.run(
            ["counterpoise", *arguments, "--benchmark", self.benchmark],
            cwd=self.root,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=self.deadline,
        )

    def make_in_one_process(self, *settings: str) -> None:
        """Make everything that the report rests on in one process; the settings are as ``KEY=VALUE``."""
        program = Path(__file__).with_name("one_process.py")
        done = subprocess.run(
            [sys.executable, program, self.root, self.benchmark, *settings],
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=self.deadline,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]

    def planned_jobs(self, *arguments: str, **environment: str) -> Counter[str]:
        """How many jobs of each rule a dry run plans, collecting rules left out."""
        done = subprocess.run(
            ["snakemake", "--cores", "2", "--dry-run", "--quiet", "rules", *arguments],
            cwd=self.root,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=True,
        )
        counts = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.MULTILINE)
        return Counter({rule: int(count) for rule, count in counts if rule not in ("total", "all")})

    def said(self) -> str:
        """Everything that Snakemake said so far, for messages."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def cells(self) -> list[str]:
        """The names of the benchmark's cells, as the command line takes them."""
        from counterpoise.planning.plan import make_plan

        return [cell.name for cell in make_plan(self.root, self.root / BENCHMARK).cells]

    # -- watching it -----------------------------------------------------------------------------------------

    def processes(self, command: str) -> list[int]:
        """The ids of live ``counterpoise <command>`` processes that work in this folder."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and self._is_worker(entry, command):
                found.append(int(entry.name))
        return sorted(found)

    def _is_worker(self, entry: Path, command: str) -> bool:
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            names = [Path(word).name for word in words[:3]]
            at = names.index("counterpoise")
            return words[at + 1] == command and (entry / "cwd").resolve() == self.root.resolve()
        except (OSError, ValueError, IndexError):
            return False

    def states(self) -> list[Path]:
        """The saved states of all unfinished runs."""
        return sorted(self.root.glob("work/**/state-*.json"))

    def until(self, condition: Callable[[], Any], process: subprocess.Popen[bytes] | None = None) -> Any:
        """Wait until ``condition()`` holds and return it; stop waiting when ``process`` has ended."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            value = condition()
            if value or (process is not None and process.poll() is not None):
                return value
            time.sleep(0.02)
        raise TimeoutError(f"nothing came of waiting; Snakemake said:\n{self.said()[-4000:]}")

    # -- what came of it -------------------------------------------------------------------------------------

    def artifacts(self) -> dict[str, str]:
        """Every final artifact by its path, as a digest of its bytes; of records without what is
        momentary.
        """
        return {str(path.relative_to(self.root)): _digest(path) for path in self._final()}

    def _final(self) -> Iterator[Path]:
        for folder in ("results/runs", f"results/{NAME}", "data/prepared"):
            yield from sorted(path for path in (self.root / folder).rglob("*") if path.is_file() and _is_final(path))


def _is_final(path: Path) -> bool:
    """Whether a file says nothing of the moment: a list of runs, the report and the basis name times and logs."""
    return path.name not in ("runs.json", "basis.json", "timings.csv") and "report" not in path.parts


def _digest(path: Path) -> str:
    data = path.read_bytes()
    if path.name == "record.json":
        record = {name: value for name, value in json.loads(data).items() if name not in MOMENTARY}
        data = json.dumps(record, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def kill(pid: int, number: int = signal.SIGKILL) -> bool:
    """Send a signal to a process; return whether it was still there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and all of its group, and wait for it."""
    with_group = os.getpgid(process.pid) if process.poll() is None else None
    if with_group is not None:
        os.killpg(with_group, signal.SIGKILL)
    process.wait()
