"""A third paper, invented: its own table, figures of known kinds and a metric of its own, as files and nothing else."""

from __future__ import annotations

from pathlib import Path

PAPER = """
paper: invented
short_title: Invented
title: "A paper that nobody wrote"
authors: [Nobody]
venue: Nowhere
year: 2031
url: https://example.org/invented
printed_runs: 1
printed_runs_reason: "one run"
margins: {accuracy: 2.0, mean_average_precision: 1.5, regret: 0.05}
margins_reason: "declared before any run"
metrics:
  mean_average_precision: {title: mAP, unit: percent}
  regret: {title: Regret, unit: ratio, better: lower}
tables: [table1]
datasets:
  own_digits: {title: "Digits"}
"""

TABLE = """
paper: invented
table: table1
title: "Everything about digits"
section: "5"
caption: "Everything about digits."
drops_against: Sum of losses
groups:
  - {id: digits, heading: ["Digits", "Small"], dataset: own_digits}
columns:
  - {id: digits.accuracy, group: digits, title: Acc, metric: accuracy}
  - {id: digits.map, group: digits, title: mAP, metric: mean_average_precision}
  - {id: digits.regret, group: digits, title: Regret, metric: regret}
rows:
  - id: One loss
    title: One loss
    method: joint
    values: {digits.accuracy: "80.0", digits.map: "71.5", digits.regret: "0.40"}
  - id: Sum of losses
    title: Sum of losses
    method: uniform
    values: {digits.accuracy: "85.0", digits.map: "75.0", digits.regret: "0.30"}
  - id: Ours
    title: Ours
    method: mmpareto
    values:
      digits.accuracy: {printed: "90.0", bold: true}
      digits.map: {printed: "73.0", drop: true}
      digits.regret: "0.20"
"""

CLAIMS = """
paper: invented
claims:
  - id: ours-is-best
    quote: "ours is best"
    section: "5"
    test: {kind: best_in_column, table: table1, columns: [digits.accuracy, digits.map], row: Ours}
  - id: ours-regrets-less
    quote: "ours regrets less"
    section: "5"
    test: {kind: better, table: table1, columns: [digits.regret], row: Ours, than: [Sum of losses]}
"""

FIGURES = """
paper: invented
figures:
  - name: figure1
    title: "Gray against all"
    kind: scatter
    output: gray
    series:
      - {label: Gray alone, method: unimodal, settings: {modality: gray}}
      - {label: Sum of losses, method: uniform}
      - {label: Ours, method: mmpareto}
    settings: {unimodal_line: Gray alone}
    printed: [{series: Ours, quantity: multimodal, value: "90.0", source: "Figure 1"}]
  - name: figure2
    title: "Mean average precision"
    kind: table
    table: table1
    settings:
      metric: mean_average_precision
      gain_of: Ours
      gain_over: [One loss, Sum of losses]
      gains: {Digits: [table1.digits.map]}
  - name: figure3
    title: "A parabola"
    kind: formula
    settings: {formula: "a * x ** 2", start: -1.0, parameters: [a], values: [[1.0], [2.0]]}
    choices: ["{points} points"]
  - {name: figure4, title: "Calibration", kind: reliability, series: [{label: Ours, method: mmpareto}]}
"""

DATASET = """
title: Digits of the invented paper
component: cg_digits
"""

PROTOCOL = """
title: As the invented paper says
source: Section 4
optimiser: {name: sgd, lr: 1e-2}
epochs: 2
batch_size: 32
"""

RUNS = "{dataset: own_digits, model: cg_digits_conv4, protocol: invented}"
BENCHMARK = f"""
name: invented
title: The invented paper
seeds: [0, 1, 2]
selection: last
tables:
  - {{paper: invented, table: table1, columns: {{digits: {RUNS}}}}}
figures:
  - {{paper: invented, figure: figure1, runs: {RUNS}}}
  - {{paper: invented, figure: figure2}}
  - {{paper: invented, figure: figure3}}
  - {{paper: invented, figure: figure4, runs: {RUNS}}}
"""


def add_invented_paper(root: Path) -> Path:
    """Write the paper and its benchmark into a project's ``configs``; return the benchmark's file."""
    folder = root / "configs/papers/invented"
    folder.mkdir(parents=True)
    for name, text in (("paper", PAPER), ("table1", TABLE), ("claims", CLAIMS), ("figures", FIGURES)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    (root / "configs/datasets/own_digits.yaml").write_text(DATASET, encoding="utf-8")
    (root / "configs/protocols/invented.yaml").write_text(PROTOCOL, encoding="utf-8")
    benchmark = root / "configs/benchmarks/invented.yaml"
    benchmark.write_text(BENCHMARK, encoding="utf-8")
    return benchmark
