"""Explanations as ``counterpoise explain --write`` leaves them, made of numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from counterpoise.results.explained import WrittenExplanation, explanations_folder


def effect(title: str, mean: float | None = None, **others: Any) -> dict[str, Any]:
    """Return what one flip did: ``mean`` with an interval of half a unit around it, or nothing."""
    low, high = (None, None) if mean is None else (mean - 0.5, mean + 0.5)
    empty = {
        "factor": title.replace(" ", "_"),
        "title": title,
        "from": "before",
        "to": "after",
        "source": "a paper",
        "cell": None,
        "changed": [["protocol.optimiser.lr", 0.1, 0.2]],
        "n": 0 if mean is None else 3,
        "diverged": 0,
        "effect": mean,
        "low": low,
        "high": high,
        "p": None if mean is None else 0.01,
        "recovered": mean,
        "missing": [],
        "reason": "" if mean is not None else "no pair of finished runs yet",
    }
    return empty | others


def explanation(name: str, cell: str, benchmark: str, **others: Any) -> WrittenExplanation:
    """Return an explanation as it is read again; keywords replace what it says."""
    return WrittenExplanation.model_validate(_content(name, cell, benchmark) | others)


def write_explanation(root: Path, name: str, cell: str, benchmark: str, **others: Any) -> Path:
    """Write an explanation below ``root`` and return its path; keywords replace what it says."""
    path = explanations_folder(root, benchmark) / f"{name.replace(' ', '_')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_content(name, cell, benchmark) | others))
    return path


def _content(name: str, cell: str, benchmark: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": name,
        "benchmark": benchmark,
        "digest": "0" * 12,
        "cell": cell,
        "selection": "last",
        "seeds": [0, 1, 2],
        "printed": "70.00",
        "mean": 60.0,
        "std": 1.0,
        "n": 3,
        "verdict": "deviates",
        "gap": 10.0,
        "missing": [],
        "level": 0.95,
        "effects": [],
    }
