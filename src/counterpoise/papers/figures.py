"""The papers' figures: what each is drawn from, and which runs and measurements that takes.

A benchmark names the figures that it wants and, where a figure is of runs, on which dataset and model
(:class:`counterpoise.planning.benchmark.FigureRun`). What methods it compares is the figure's own.
"""

from __future__ import annotations

from dataclasses import dataclass

LANDSCAPE = "landscape"
GRADIENTS = "gradients"
MEASURES = {LANDSCAPE: "counterpoise.engine.landscape", GRADIENTS: "counterpoise.engine.gradient_statistics"}
"""Measurement on finished runs' weights -> the module that makes it."""


@dataclass(frozen=True)
class Series:
    """One method of a figure; ``settings`` are the method's. Its variant is ``published``."""

    label: str
    method: str
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Figure:
    """A figure: its ``kind`` of drawing, its methods, and the measurement that it needs, if any.

    ``output`` is the modality that it looks at, by the paper's name, where it looks at one. ``table`` names
    the table whose values it draws, where it draws one's. A kind without methods and table is a formula.
    """

    paper: str
    name: str
    title: str
    kind: str
    series: tuple[Series, ...] = ()
    measure: str = ""
    output: str = ""
    table: str = ""

    @property
    def needs_runs(self) -> bool:
        """Whether a benchmark must say on what the figure's runs are made."""
        return bool(self.series)


_UNIFORM = Series("Uniform baseline", "uniform")
_PARETO = Series("Conventional Pareto", "conventional_pareto")
_MMPARETO = Series("MMPareto", "mmpareto")
_ALONE = (
    Series("audio alone", "unimodal", (("modality", "audio"),)),
    Series("visual alone", "unimodal", (("modality", "visual"),)),
)
_BALANCED = (
    Series("Joint Training", "joint"),
    Series("AGM", "agm"),
    Series("Multi-Loss", "uniform"),
    Series("MLB", "mlb"),
)
_ALL_BALANCED = (
    _BALANCED[0],
    Series("MMCosine", "mmcosine"),
    Series("MSLR", "mslr"),
    Series("OGM", "ogm"),
    _BALANCED[1],
    Series("PMR", "pmr"),
    *_BALANCED[2:],
)
# Figure 1c's caption: "the individually trained model with one corresponding learning objective".
_SINGLE = (Series("Single loss", "joint"), Series("Single loss", "unimodal", (("modality", "visual"),)))

FIGURES = {
    (figure.paper, figure.name): figure
    for figure in (
        Figure(
            "mmpareto",
            "figure1a",
            "Cosine of the multimodal and the unimodal gradient, video encoder",
            "cosine",
            (_MMPARETO,),
            output="visual",
        ),
        Figure(
            "mmpareto",
            "figure1c",
            "Multimodal and unimodal accuracy, video encoder",
            "bars",
            (*_SINGLE, _UNIFORM, _PARETO, _MMPARETO),
            output="visual",
        ),
        Figure(
            "mmpareto",
            "figure1d",
            "Gradient magnitude at fixed parameters, video encoder",
            "magnitudes",
            (_UNIFORM,),
            measure=GRADIENTS,
            output="visual",
        ),
        Figure("mmpareto", "figure3", "Bound of the Pareto weight", "bound"),
        Figure(
            "mmpareto",
            "figure4a",
            "Cosine of the multimodal and the unimodal gradient, video encoder",
            "cosine",
            (_MMPARETO,),
            output="visual",
        ),
        Figure(
            "mmpareto",
            "figure4b",
            "Gradient magnitude at fixed parameters, video encoder",
            "magnitudes",
            (_UNIFORM,),
            measure=GRADIENTS,
            output="visual",
        ),
        Figure(
            "mmpareto",
            "figure5",
            "Loss and accuracy around the solutions",
            "landscape",
            (_UNIFORM, _PARETO, _MMPARETO),
            measure=LANDSCAPE,
        ),
        Figure("mlb", "figure2", "Balancing coefficient by performance ratio", "coefficient"),
        Figure("mlb", "figure3", "Accuracy by dataset, backbone and fusion", "table", table="figure3"),
        Figure(
            "mlb",
            "figure4a",
            "Agreement of multimodal and unimodal predictions, Conformer",
            "agreement",
            (*_ALONE, *_BALANCED),
        ),
        Figure(
            "mlb",
            "figure4b",
            "Agreement of multimodal and unimodal predictions, ResNet",
            "agreement",
            (*_ALONE, *_BALANCED),
        ),
        Figure("mlb", "figure5", "Calibration", "reliability", _ALL_BALANCED),
        Figure("mlb", "figure6", "Accuracy with FiLM, Gated and TF fusion", "table", table="figure6"),
    )
}
