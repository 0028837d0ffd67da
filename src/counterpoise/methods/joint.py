"""One joint loss: only the multimodal prediction is trained."""

from __future__ import annotations

from counterpoise.declare import method
from counterpoise.methods.interface import LossMethod


@method(
    name="joint",
    title="One joint loss",
    family="loss",
    paper="MMPareto (ICML 2024); MLB (BMVC 2024) as Joint Training",
    source="MMPareto, Section 4.4: only the multimodal joint loss",
    trains="joint",
)
class Joint(LossMethod):
    """``L = L_m``. The unimodal heads are never trained, so they predict nothing."""
