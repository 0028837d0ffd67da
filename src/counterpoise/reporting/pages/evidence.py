"""What all numbers rest on: runs by status, machines, commits, as the runs' records say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from counterpoise.reporting.words import commit_text
from counterpoise.results.record import Attempt, RunRecord
from counterpoise.results.table import RunEntry


def record_of(run: RunEntry) -> RunRecord | None:
    """Return the record of a run, None where it has none."""
    return RunRecord.model_validate(run.record) if run.record else None


def commit_of(attempt: Attempt) -> str:
    """Return the commit that a process ran at, and whether tracked files differed from it."""
    return commit_text(attempt.git.commit, attempt.git.dirty)


def machine_of(attempt: Attempt) -> dict[str, str]:
    """Return device, precision, threads and libraries of a process, by name."""
    facts = dict(attempt.environment)
    libraries = facts.pop("libraries", None)
    if isinstance(libraries, dict):
        facts["libraries"] = ", ".join(f"{name} {version}" for name, version in libraries.items() if version)
    return {name: _plain(value) for name, value in sorted(facts.items()) if value not in (None, "")}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One distinct environment, and how many runs were made in it."""

    facts: Mapping[str, str]
    runs: int

    @property
    def device(self) -> str:
        """The name of the device, for a line of text."""
        return self.facts.get("device_name") or self.facts.get("device") or "an unknown device"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The machines, most used first, and the commits of all finished runs."""

    machines: tuple[Machine, ...]
    commits: Mapping[str, int]

    @property
    def devices(self) -> dict[str, int]:
        """The runs on each device, whatever else differs between the machines that have one of the name."""
        devices: Counter[str] = Counter()
        for machine in self.machines:
            devices[machine.device] += machine.runs
        return dict(devices.most_common())


def evidence_of(records: Iterable[RunRecord]) -> Evidence:
    """Sum up the records of runs, each by the process that finished it."""
    commits: Counter[str] = Counter()
    machines: dict[str, Machine] = {}
    for record in records:
        last = record.attempts[-1]
        commits[commit_of(last)] += 1
        facts = machine_of(last)
        name = json.dumps(facts, sort_keys=True)
        known = machines.get(name) or Machine(facts=facts, runs=0)
        machines[name] = Machine(facts=facts, runs=known.runs + 1)
    ordered = sorted(machines.values(), key=lambda machine: -machine.runs)
    return Evidence(machines=tuple(ordered), commits=dict(commits.most_common()))


def _plain(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def as_yaml(data: Mapping[str, Any]) -> str:
    """Return settings as a person would write them."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the same text, sooner
    return yaml.dump(data, Dumper=dumper, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True)
