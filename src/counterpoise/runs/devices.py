"""Devices by name, for estimates of what a run would take on one that is not here."""

from __future__ import annotations

from dataclasses import dataclass

from counterpoise.errors import UserError, suggest


@dataclass(frozen=True, kw_only=True)
class Device:
    """What a device does: operations a second by precision, bytes a second to and from its memory, seconds a call.

    They are what training sustains, not what a data sheet promises. ``memory`` is in bytes, None where nobody can tell.
    """

    title: str
    operations: dict[str, float]
    bandwidth: float
    call: float
    memory: float | None
    source: str


# The share of a data sheet's operations and of its bandwidth that PyTorch's own kernels sustain on convolutions and
# attention, one call after another, and the host's time for a call with its autograd. Assumed: no GPU was at hand.
SUSTAINED = {"fp32": 0.5, "tf32": 0.25, "bf16": 0.25}
SUSTAINED_BANDWIDTH = 0.7
GPU_CALL = 10e-6


def _gpu(title: str, fp32: float, tf32: float, bf16: float, bandwidth: float, memory: float, sheet: str) -> Device:
    """Return a GPU by its data sheet: TFLOP/s (dense), GB/s and GB."""
    peaks = {"fp32": fp32, "tf32": tf32, "bf16": bf16}
    return Device(
        title=title,
        operations={name: SUSTAINED[name] * peak * 1e12 for name, peak in peaks.items()},
        bandwidth=SUSTAINED_BANDWIDTH * bandwidth * 1e9,
        call=GPU_CALL,
        memory=memory * 1e9,
        source=f"{sheet}, of which shares are assumed",
    )


DEVICES = {
    "cpu-core": Device(
        title="one core of an AMD EPYC (Zen 4, AVX-512)",
        operations=dict.fromkeys(("fp32", "tf32", "bf16"), 220e9),
        bandwidth=5e9,
        call=9e-6,
        memory=None,
        source="fitted to steps that were measured on one core (docs/performance.md)",
    ),
    "t4": _gpu("NVIDIA T4", 8.1, 8.1, 8.1, 300, 16, "NVIDIA T4 data sheet; it has neither TF32 nor bf16"),
    "v100": _gpu("NVIDIA V100 SXM2", 15.7, 15.7, 15.7, 900, 32, "NVIDIA V100 data sheet; it has neither TF32 nor bf16"),
    "rtx3090": _gpu("NVIDIA GeForce RTX 3090", 35.6, 35.6, 71, 936, 24, "NVIDIA GA102 whitepaper"),
    "rtx4090": _gpu("NVIDIA GeForce RTX 4090", 82.6, 82.6, 165.2, 1008, 24, "NVIDIA Ada whitepaper"),
    "a100": _gpu("NVIDIA A100 SXM 80 GB", 19.5, 156, 312, 2039, 80, "NVIDIA A100 data sheet"),
    "h100": _gpu("NVIDIA H100 SXM", 67, 494, 989, 3350, 80, "NVIDIA H100 data sheet"),
    "h200": _gpu("NVIDIA H200 SXM", 67, 494, 989, 4800, 141, "NVIDIA H200 data sheet"),
}


def device_named(name: str) -> Device:
    """Return the device ``name``, or raise ``UserError`` with the names that there are."""
    if name not in DEVICES:
        raise UserError(f"--device {name}: unknown device{suggest(name, DEVICES)}")
    return DEVICES[name]
