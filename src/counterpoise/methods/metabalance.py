"""MetaBalance: auxiliary gradients brought towards the magnitude of the target's, parameter tensor by tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from counterpoise.declare import method, setting
from counterpoise.methods.interface import IntegrationMethod, State, ratio


@method(
    name="metabalance",
    title="MetaBalance",
    family="integration",
    paper="He et al., WWW 2022",
    source="Algorithm 1; defaults of metabalance.py (r 0.7, beta 0.9)",
    tasks=True,
)
class MetaBalance(IntegrationMethod):
    """``m_i <- beta m_i + (1 - beta) ||g_i||``; ``w_i = r m_0 / m_i + 1 - r``, which is 1 for the target,
    objective 0: the joint loss, or the first task.
    """

    relax: float = setting(0.7, minimum=0.0, below=1.0, doc="r: how far magnitudes are matched")
    beta: float = setting(0.9, minimum=0.0, below=1.0, doc="decay of the moving norms")
    strategy: str = setting("both", choices=("both", "reduce", "enlarge"), doc="which auxiliaries are changed")

    @property
    def scope(self) -> str:
        return "tensor"

    def module_state(self, objectives: int, tensors: int) -> State:
        return {"norms": torch.zeros(tensors, objectives, dtype=torch.float64)}

    def weights(self, gramian: Tensor, losses: Tensor, state: State) -> tuple[Tensor, State]:
        norms = gramian.diagonal(dim1=-2, dim2=-1).clamp_min(0.0).sqrt()
        moving = self.beta * state["norms"] + (1 - self.beta) * norms
        matched = torch.where(moving > 0, ratio(moving[..., :1].expand_as(moving), moving), 1.0)
        if self.strategy == "reduce":
            matched = matched.clamp_max(1.0)
        elif self.strategy == "enlarge":
            matched = matched.clamp_min(1.0)
        return self.relax * matched + (1 - self.relax), {"norms": moving}
