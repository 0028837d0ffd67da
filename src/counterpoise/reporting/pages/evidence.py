"""What all numbers rest on: runs by status, machines, commits, as the runs' records say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from counterpoise.results.table import RunEntry

UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One distinct environment, how many runs were made in it, and in how many seconds of training."""

    facts: Mapping[str, str]
    runs: int
    seconds: float

    @property
    def device(self) -> str:
        """The name of the device, for a line of text."""
        return self.facts.get("device_name") or self.facts.get("device") or "an unknown device"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The machines, most used first, and the commits of all finished runs."""

    machines: tuple[Machine, ...]
    commits: Mapping[str, int]


def evidence_of(runs: Iterable[RunEntry]) -> Evidence:
    """Sum up the records of runs; a run without a record counts nowhere."""
    commits: Counter[str] = Counter()
    machines: dict[str, Machine] = {}
    for run in runs:
        if not run.record:
            continue
        commits[commit_of(run)] += 1
        facts = machine_of(run)
        name = json.dumps(facts, sort_keys=True)
        known = machines.get(name) or Machine(facts=facts, runs=0, seconds=0.0)
        seconds = known.seconds + (seconds_of(run) or 0.0)
        machines[name] = Machine(facts=facts, runs=known.runs + 1, seconds=seconds)
    ordered = sorted(machines.values(), key=lambda machine: -machine.runs)
    return Evidence(machines=tuple(ordered), commits=dict(commits.most_common()))


def attempts_of(run: RunEntry) -> list[Mapping[str, Any]]:
    """Return the processes that trained a run, as its record has them, the one that finished it last."""
    return list(run.record.get("attempts") or ())


def commit_of(run: RunEntry) -> str:
    """Return the commit that a run was finished with, and whether tracked files differed from it."""
    git = (attempts_of(run) or [{}])[-1].get("git") or {}
    return f"{str(git.get('commit') or UNKNOWN)[:12]}{' (with changes)' if git.get('dirty') else ''}"


def seconds_of(run: RunEntry) -> float | None:
    """Return how long a training took, None where the record does not say."""
    seconds = run.record.get("seconds")
    return None if seconds is None else float(seconds)


def machine_of(run: RunEntry) -> dict[str, str]:
    """Return device, precision, threads and libraries of the process that finished a run, by name."""
    facts = dict((attempts_of(run) or [{}])[-1].get("environment") or {})
    libraries = facts.pop("libraries", None) or {}
    facts["libraries"] = ", ".join(f"{name} {version}" for name, version in libraries.items() if version)
    return {name: _plain(value) for name, value in sorted(facts.items()) if value not in (None, "")}


def _plain(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def as_yaml(data: Mapping[str, Any]) -> str:
    """Return settings as a person would write them."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the same text, sooner
    return yaml.dump(data, Dumper=dumper, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True)
