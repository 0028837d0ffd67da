"""Conformer over the first layers of wav2vec 2.0, on the sound wave itself."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torchaudio.models import wav2vec2_model
from torchaudio.pipelines import WAV2VEC2_BASE, WAV2VEC2_LARGE_LV60K

from counterpoise.declare import encoder, setting
from counterpoise.errors import UserError
from counterpoise.models.conformer import Refinement, refinement
from counterpoise.models.interface import Encoder, EncoderModule, SequenceEncoderModule
from counterpoise.models.pretrained import PretrainedWeights, load_matching

LARGEST_TINY_KERNEL = 8


@encoder(
    name="wav2vec2_conformer",
    title="wav2vec 2.0 and Conformer",
    input="(L,) sound wave at 16 kHz",
    source="MLB (BMVC 2024), Section 4.2: first 12 layers of wav2vec 2.0, 5 Conformer layers. Its code "
    "starts from wav2vec2-large-robust, which torchaudio has not; LV-60k has the same architecture",
)
class Wav2Vec2Conformer(Encoder):
    """The wave, normalised; convolutions (frozen), the first transformer layers, a Conformer; the mean."""

    architecture: str = setting("large", choices=("large", "base", "tiny"), doc="wav2vec 2.0; tiny is for tests")
    kept_layers: int = setting(12, minimum=1, doc="transformer layers that are kept, from the first (MLB, Section 4.2)")
    freeze_convolutions: bool = setting(True, doc="whether the convolutions are left as they are (released code)")
    weights: str | None = setting(
        None, choices=("wav2vec2_large_lv60k", "wav2vec2_base", None), doc="pretrained weights; null: random"
    )
    width: int = setting(512, minimum=1, doc="d: features")
    layers: int = setting(5, minimum=1, doc="Conformer layers (MLB, Section 4.2)")
    narrow: int = setting(50, minimum=1, doc="channels of the projection before the Conformer")
    heads: int = setting(8, minimum=1, doc="the Conformer's attention heads; must divide the width")
    hidden: int = setting(2048, minimum=1, doc="hidden units of each of its perceptrons")
    kernel: int = setting(31, minimum=1, doc="width of its depthwise convolution, odd")
    dropout: float = setting(0.1, minimum=0.0, below=1.0, doc="in every part of its layers")

    def build(self, shape: tuple[int, ...]) -> EncoderModule:
        if len(shape) != 1:
            raise UserError(f"encoder 'wav2vec2_conformer': takes a wave (L,), not an input of shape {shape}")
        parameters = architecture(self.architecture, self.kept_layers)
        refine = refinement(parameters["encoder_embed_dim"], self)
        return _Wav2Vec2Conformer(wav2vec2_model(**parameters), refine, self.width, self.freeze_convolutions)

    def load_pretrained(self, module: EncoderModule, weights: PretrainedWeights) -> None:
        if self.weights is not None:
            state = weights.state(self.weights)
            # Later layers are left out; anything else that does not fit is an error.
            kept = {key: value for key, value in state.items() if _layer(key) < self.kept_layers}
            load_matching(module.heard, kept, f"encoder 'wav2vec2_conformer': weights '{self.weights}'")


def architecture(name: str, layers: int) -> dict[str, Any]:
    """Return the arguments of ``torchaudio.models.wav2vec2_model`` for the first ``layers`` transformer layers.

    No layer is ever dropped at random: which ones run would be decided on the host.
    """
    bundle = WAV2VEC2_LARGE_LV60K if name == "large" else WAV2VEC2_BASE
    found = dict(bundle._params) | {"encoder_layer_drop": 0.0}
    if name == "tiny":
        found |= {
            "extractor_conv_layer_config": [(8, 10, 5), (8, 8, 4), (8, 4, 4), (8, 4, 4)],
            "encoder_embed_dim": 16,
            "encoder_pos_conv_kernel": LARGEST_TINY_KERNEL,
            "encoder_pos_conv_groups": 2,
            "encoder_num_heads": 2,
            "encoder_ff_interm_features": 32,
        }
    if name != "tiny" and layers > found["encoder_num_layers"]:
        raise UserError(
            f"encoder 'wav2vec2_conformer': kept_layers is {layers}; '{name}' has {found['encoder_num_layers']}"
        )
    return found | {"encoder_num_layers": layers}


def _layer(key: str) -> int:
    """Return the number of the transformer layer that an entry belongs to, -1 for other entries."""
    prefix = "encoder.transformer.layers."
    return int(key.removeprefix(prefix).partition(".")[0]) if key.startswith(prefix) else -1


class _Wav2Vec2Conformer(SequenceEncoderModule):
    def __init__(self, heard: nn.Module, refine: Refinement, width: int, freeze: bool) -> None:
        super().__init__()
        self.width = width
        self.heard = heard
        self.refine = refine
        if freeze:
            heard.feature_extractor.requires_grad_(False)

    @property
    def last_layer(self) -> nn.Module:
        return self.refine.stack.last_layer

    def positions(self, x: Tensor) -> Tensor:  # (B, L) -> (B, T, d)
        wave = functional.layer_norm(x, x.shape[1:])  # each clip on its own, as the weights were trained
        return self.refine(self.heard(wave)[0])
