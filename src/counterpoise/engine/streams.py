"""Random streams of a run: a generator for every purpose, named, never global.

Each is seeded by (run seed, stream name, numbers such as epoch and step), so that resuming is replaying.
"""

from __future__ import annotations

import hashlib

import torch


def stream_seed(seed: int, name: str, *numbers: int) -> int:
    """Return the 63-bit seed of a stream."""
    text = "/".join((str(seed), name, *map(str, numbers)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, name: str, *numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a new generator at the start of a stream."""
    return torch.Generator(device=device).manual_seed(stream_seed(seed, name, *numbers))


def seed_layers(seed: int, device: torch.device) -> None:
    """Seed what layers draw from: the global generator of their device.

    On the CPU it is seeded by itself. ``torch.manual_seed`` also leaves a note for every other kind of
    device, with a trace of the stack, which takes a tenth of a small network's step.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
