"""A method from outside: the unimodal gradient enters by half."""

from __future__ import annotations

from torch import Tensor

from counterpoise.declare import method, setting
from counterpoise.methods.interface import IntegrationMethod, State


@method(name="halfway", title="Halfway", family="integration", paper="ours", source="Equation 1", tasks=True)
class Halfway(IntegrationMethod):
    """``h = g_m + share g_u``."""

    share: float = setting(0.5, minimum=0.0, maximum=1.0, doc="weight of the unimodal gradient")

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        weights = gramian.new_full(gramian.shape[:-1], self.share)
        weights[..., 0] = 1.0
        return weights, state
