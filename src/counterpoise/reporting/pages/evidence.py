"""What all numbers rest on: runs by status, machines, commits, as the runs' records say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from counterpoise.errors import UserError
from counterpoise.results.table import RunEntry
from counterpoise.validation import validate

UNKNOWN = "unknown"


class _Shown(BaseModel):
    # A record may come from anywhere: what is shown of it is checked, the rest is nobody's business here.
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Git(_Shown):
    commit: str | None = None
    dirty: bool | None = None


class Attempt(_Shown):
    """A process that trained a run or a part of it; see :class:`counterpoise.runs.record.Attempt`."""

    started: str = UNKNOWN
    host: str = ""
    command: str = ""
    git: _Git = _Git()
    environment: dict[str, Any] = {}
    epoch: int = 0

    @property
    def commit(self) -> str:
        """The commit, and whether tracked files differed from it."""
        return f"{(self.git.commit or UNKNOWN)[:12]}{' (with changes)' if self.git.dirty else ''}"

    @property
    def machine(self) -> dict[str, str]:
        """Device, precision, threads and libraries, by name."""
        facts = dict(self.environment)
        libraries = facts.pop("libraries", None)
        if isinstance(libraries, dict):
            facts["libraries"] = ", ".join(f"{name} {version}" for name, version in libraries.items() if version)
        return {name: _plain(value) for name, value in sorted(facts.items()) if value not in (None, "")}


class ShownRecord(_Shown):
    """What is shown of a run's record; empty for a run that has none."""

    attempts: tuple[Attempt, ...] = ()
    seconds: float | None = None
    finished: str = ""
    weights_sha256: str = ""
    output_targets: dict[str, str] = {}

    @property
    def last(self) -> Attempt:
        """The process that finished the run."""
        return self.attempts[-1] if self.attempts else Attempt()


def read_shown(run: RunEntry) -> tuple[ShownRecord, str]:
    """Return what is shown of a run's record, and what is wrong with it where it cannot be."""
    try:
        return validate(ShownRecord, run.record, f"record of {run.folder}"), ""
    except UserError as error:
        return ShownRecord(), str(error)


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


def evidence_of(records: Iterable[ShownRecord]) -> Evidence:
    """Sum up the records of runs; one without an attempt counts nowhere."""
    commits: Counter[str] = Counter()
    machines: dict[str, Machine] = {}
    for record in records:
        if not record.attempts:
            continue
        commits[record.last.commit] += 1
        facts = record.last.machine
        name = json.dumps(facts, sort_keys=True)
        known = machines.get(name) or Machine(facts=facts, runs=0, seconds=0.0)
        machines[name] = Machine(facts=facts, runs=known.runs + 1, seconds=known.seconds + (record.seconds or 0.0))
    ordered = sorted(machines.values(), key=lambda machine: -machine.runs)
    return Evidence(machines=tuple(ordered), commits=dict(commits.most_common()))


def _plain(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def as_yaml(data: Mapping[str, Any]) -> str:
    """Return settings as a person would write them."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the same text, sooner
    return yaml.dump(data, Dumper=dumper, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True)
