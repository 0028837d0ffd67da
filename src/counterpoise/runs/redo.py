"""What a run leaves for whoever looks at it later: its logs, and the command that makes it once more."""

from __future__ import annotations

import shlex
from pathlib import Path

from counterpoise.planning.plan import Cell, Plan
from counterpoise.results.record import RunRecord


def run_logs(root: Path, cell: Cell, seed: int) -> list[Path]:
    """Return the logs of the jobs that made a run, relative to the project."""
    root = Path(root)
    home = root / "logs"
    return [path.relative_to(root) for path in sorted(home.glob(f"*/{cell.name}/seed-{seed}.log"))]


def redo_command(plan: Plan, root: Path, cell: Cell, seed: int) -> str:
    """Return the command that makes a run again and compares it with what is recorded."""
    command = ["counterpoise", "redo", cell.name, "--seed", str(seed), *benchmark_options(plan, root)]
    return shlex.join(command)


def benchmark_options(plan: Plan, root: Path) -> list[str]:
    """Return the options that name a plan's benchmark and its overrides to a command in the project's folder."""
    settings = [f"--set={key}={value!r}" for key, value in plan.overrides.items()]
    return ["--benchmark", relative(plan.path, root), *settings]


def relative(path: Path, root: Path) -> str:
    """Return a path as seen from the project, and as it is where it lies outside."""
    path, root = Path(path), Path(root)
    within = path.resolve().is_relative_to(root.resolve())
    return (path.resolve().relative_to(root.resolve()) if within else path).as_posix()


def differences(recorded: RunRecord, again: RunRecord) -> list[str]:
    """Return in what two records of one run differ, with what of machine and software may be why; nothing if equal."""
    found = [
        f"{name}: recorded {getattr(recorded, name)}, now {getattr(again, name)}"
        for name in ("status", "epochs_run", "weights_sha256")
        if getattr(recorded, name) != getattr(again, name)
    ]
    found += [
        f"{name}: not the same bytes" for name, digest in again.files.items() if recorded.files.get(name) != digest
    ]
    if not found:
        return []
    for name, now in again.environment.items():
        # Each process that trained a part of the run may have been on another machine.
        then = [attempt.environment.get(name) for attempt in recorded.attempts]
        then = [value for place, value in enumerate(then) if place == 0 or value != then[place - 1]]
        if then != [now]:
            found.append(f"environment: {name} was {', then '.join(map(str, then))}, is {now}")
    return found
