"""Pretrained weights: which files there are, where they come from, and which of them a model asks for.

An encoder or fusion that can start from pretrained weights has a setting ``weights`` that names one of these,
or is ``None`` for a random start. No torch: planning says which files a run will need.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoise import files
from counterpoise.errors import UserError


@dataclass(frozen=True)
class WeightsFile:
    """A published file of weights.

    ``sha256`` is its digest, or the beginning of it where the publisher names no more (torchvision puts eight
    digits into the file's name and checks those). It is empty where the publisher names none; then the digest
    found when the file was fetched is written beside it and holds from there on.
    """

    name: str
    file: str
    url: str
    sha256: str
    licence: str
    source: str


WEIGHTS = {
    weights.name: weights
    for weights in (
        WeightsFile(
            name="vit_b_16_imagenet",
            file="vit_b_16-c867db91.pth",
            url="https://download.pytorch.org/models/vit_b_16-c867db91.pth",
            sha256="c867db91",
            licence="BSD-3-Clause",
            source="torchvision, ViT_B_16_Weights.IMAGENET1K_V1",
        ),
        WeightsFile(
            name="efficientnet_b2_imagenet",
            file="efficientnet_b2_rwightman-c35c1473.pth",
            url="https://download.pytorch.org/models/efficientnet_b2_rwightman-c35c1473.pth",
            sha256="c35c1473",
            licence="BSD-3-Clause",
            source="torchvision, EfficientNet_B2_Weights.IMAGENET1K_V1",
        ),
        WeightsFile(
            name="wav2vec2_large_lv60k",
            file="wav2vec2_fairseq_large_lv60k.pth",
            url="https://download.pytorch.org/torchaudio/models/wav2vec2_fairseq_large_lv60k.pth",
            sha256="",
            licence="MIT",
            source="torchaudio.pipelines.WAV2VEC2_LARGE_LV60K",
        ),
        WeightsFile(
            name="wav2vec2_base",
            file="wav2vec2_fairseq_base_ls960.pth",
            url="https://download.pytorch.org/torchaudio/models/wav2vec2_fairseq_base_ls960.pth",
            sha256="",
            licence="MIT",
            source="torchaudio.pipelines.WAV2VEC2_BASE",
        ),
    )
}


def weights_of(model: dict[str, Any]) -> list[WeightsFile]:
    """Return the files that the ``model`` part of a cell's configuration asks for, each once."""
    parts = [*model["encoders"].values(), *([model["fusion"]] if model["fusion"] is not None else [])]
    names = [part["settings"].get("weights") for part in parts]
    return [WEIGHTS[name] for name in dict.fromkeys(names) if name is not None]


def check_digest(path: Path, weights: WeightsFile) -> None:
    """Raise ``UserError`` where a file is not the published one, or not the one that was fetched."""
    expected = weights.sha256 or _noted(path)
    found = _sha256(path, path.stat().st_mtime_ns)
    if not found.startswith(expected):
        raise UserError(f"{path}: sha256 is {found}, must begin with {expected}; delete it and fetch it again")


def _noted(path: Path) -> str:
    """Return the digest that stands beside a file, as ``sha256sum`` writes it."""
    beside = path.with_name(f"{path.name}.sha256")
    if not beside.is_file():
        raise UserError(
            f"{path}: the publisher names no checksum and there is none beside it; check where the file "
            f"comes from, then write its sha256 to {beside}"
        )
    # A part of a digest would fit other files, too.
    digest = files.read_text(beside, "checksum").removeprefix("\ufeff").partition(" ")[0].strip().lower()
    if re.fullmatch("[0-9a-f]{64}", digest) is None:
        raise UserError(
            f"{beside}: must begin with a sha256 of 64 digits (is it torn?); check where {path.name} comes from, then "
            f"write it there: sha256sum {path} > {beside}"
        )
    return digest


@functools.lru_cache(maxsize=16)
def _sha256(path: Path, changed: int) -> str:
    """Return a file's digest; ``changed`` is its time of change, so that a new file is read anew."""
    return files.sha256_file(path)
