"""Figures: what stands in their CSV is what the runs say, and what is drawn of it can be read."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from counterpoise.errors import UserError
from counterpoise.files import sha256_file
from counterpoise.papers.figures import FIGURES
from counterpoise.planning.plan import Cell, Plan, make_plan
from counterpoise.reporting.figures import draw
from counterpoise.reporting.words import seeds_in_all

SEEDS = [0, 1]
TEST_SIZE, CLASSES, STEPS, BATCHES = 60, 6, 12, 20
# Okabe and Ito (2008): distinguishable with every common kind of colour blindness.
OKABE_ITO = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"}
ALL = sorted(FIGURES)


def plan_of(repository: Path, paper: str) -> Plan:
    path = repository / f"configs/benchmarks/{paper}.yaml"
    return make_plan(repository, path, {"scale": "tiny", "seeds": SEEDS})


@pytest.fixture(scope="module")
def plans(repository) -> dict[str, Plan]:
    return {paper: plan_of(repository, paper) for paper in ("mmpareto", "mlb")}


class Runs:
    """Finished runs that were never trained: random logits, and measurements made of numbers."""

    def __init__(self, root: Path, plan: Plan) -> None:
        self.root = root
        self.plan = plan
        self.figures: dict[str, list[Path]] = {}
        for cell in plan.cells:
            for seed in plan.seeds:
                self.write(cell, seed)

    def folder(self, cell: Cell, seed: int) -> Path:
        return self.root / cell.run_directory(seed)

    def write(self, cell: Cell, seed: int, logits: dict[str, np.ndarray] | None = None) -> None:
        random = np.random.default_rng([seed, int(cell.key, 16)])
        folder = self.folder(cell, seed)
        folder.mkdir(parents=True, exist_ok=True)
        outputs = ["joint", *cell.config["model"]["encoders"]]
        given = logits or {name: random.normal(size=(TEST_SIZE, CLASSES)) for name in outputs}
        rule = self.plan.benchmark.selection
        arrays = {f"{rule}.logits.{name}": values.astype(np.float32) for name, values in given.items()}
        np.savez(folder / "predictions.npz", **{"labels.label": np.arange(TEST_SIZE) % CLASSES}, **arrays)
        values = {name: {"accuracy": float(random.uniform()), "ece": 0.1} for name in outputs}
        metrics = {
            "schema": 1,
            "key": cell.key,
            "seed": seed,
            "status": "completed",
            "n_test": TEST_SIZE,
            "ece_bins": self.plan.benchmark.evaluation.ece_bins,
            "selections": {rule: {"outputs": values}},
            "predictions_sha256": sha256_file(folder / "predictions.npz"),
        }
        record = {
            "schema": 1,
            "key": cell.key,
            "seed": seed,
            "status": "completed",
            "reason": None,
            "n_test": TEST_SIZE,
            "selections": {rule: {"epoch": 1}},
            "output_targets": dict.fromkeys(outputs, "label"),
            "output_kinds": dict.fromkeys(outputs, "classification"),
            "files": {"predictions.npz": sha256_file(folder / "predictions.npz")},
        }
        (folder / self.plan.metrics_name).write_text(json.dumps(metrics))
        (folder / "record.json").write_text(json.dumps(record))
        self.measured(cell, seed, random)

    def measured(self, cell: Cell, seed: int, random: np.random.Generator) -> None:
        folder = self.folder(cell, seed)
        steps = [{"step": n, "cosine.joint.visual.visual": np.tanh(random.normal())} for n in range(STEPS)]
        table(folder / "diagnostics.csv", steps)
        if cell.name not in self.plan.measured:
            return
        table(
            folder / f"{self.plan.measure_name('gradients')}.csv",
            [
                {
                    "batch": n,
                    "encoder": name,
                    "multimodal": random.uniform(),
                    "unimodal": 2 + random.uniform(),
                    "k": 4.0 + seed,
                }
                for name in ("audio", "visual")
                for n in range(BATCHES)
            ],
        )
        table(
            folder / f"{self.plan.measure_name('landscape')}.csv",
            [
                {"direction": d, "step": s, "loss": 1 + s * s, "accuracy": 0.5, "sharpness": 0.25}
                for d in range(2)
                for s in (-1.0, 0.0, 1.0)
            ],
        )


def table(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, plans) -> dict[str, Runs]:
    return {name: Runs(tmp_path_factory.mktemp(name), plan) for name, plan in plans.items()}


def written(runs: Runs, name: str) -> tuple[list[dict], list[Path]]:
    """Return a figure's rows as its CSV has them, and its three files; it is drawn once for all tests."""
    if name not in runs.figures:
        runs.figures[name] = draw.write_figure(runs.plan, runs.root, *name.split("/"))
    return draw.read_rows(runs.figures[name][0]), runs.figures[name]


def where(rows: list[dict], **wanted) -> list[dict]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


# What every figure has.


def test_the_benchmarks_draw_every_figure_that_there_is(plans):
    assert sorted((p.figure.paper, p.figure.name) for plan in plans.values() for p in plan.figures) == ALL


@pytest.mark.parametrize(("paper", "name"), ALL)
def test_a_figure_is_drawn_from_its_csv_in_print_quality(runs, paper, name):
    rows, (stored, vector, image) = written(runs[paper], f"{paper}/{name}")
    assert rows
    assert stored.name == f"{name}.csv"
    assert vector.read_text().startswith("<?xml")
    assert "<text" not in vector.read_text(), "text as paths: the same with whatever fonts a reader has"
    with Image.open(image) as picture:
        assert min(picture.size) >= 600
        assert len(picture.convert("L").getcolors()) > 20


@pytest.mark.parametrize(("paper", "name"), ALL)
def test_axes_are_named_and_colours_are_safe_for_the_colour_blind(runs, paper, name):
    runs = runs[paper]
    rows, _ = written(runs, f"{paper}/{name}")
    planned = runs.plan.figure(paper, name)
    with mpl.rc_context(draw.STYLE):
        picture = draw.draw(planned, rows, draw.caption(planned, rows, "tiny"))
    assert picture.axes[0].get_ylabel()
    for axes in picture.axes:
        categories = any(label.get_rotation() > 0 for label in axes.get_xticklabels())
        assert axes.get_xlabel() or categories
        drawn = [to_hex(bar.get_facecolor()).upper() for bar in axes.patches]
        # Caps of error bars are lines without a line.
        visible = [line for line in axes.lines if line.get_linestyle() != "None" or line.get_marker() == "."]
        drawn += [to_hex(line.get_color()).upper() for line in visible]
        greys = {"#000000", "#808080"}
        assert set(drawn) <= OKABE_ITO | greys
        looks = [(to_hex(line.get_color()), line.get_linestyle()) for line in axes.lines if line.get_label()[0] != "_"]
        assert len(looks) == len(set(looks))
    shown = picture.legends[0].get_title().get_text() if picture.legends else picture.get_suptitle()
    assert shown == planned.figure.title
    assert "stand-in" in picture.get_supxlabel() or not (planned.cells or planned.figure.table)


@pytest.mark.parametrize(
    ("paper", "name", "label"),
    [
        ("mmpareto", "figure1c", "test accuracy (%)"),
        ("mmpareto", "figure5", "test loss (nats)"),
        ("mlb", "figure3", "test accuracy (%)"),
        ("mlb", "figure4a", "multimodal prediction (% of test)"),
        ("mlb", "figure5", "expected calibration error (%)"),
    ],
)
def test_an_axis_with_a_unit_says_it(runs, paper, name, label):
    rows, _ = written(runs[paper], f"{paper}/{name}")
    picture = draw.draw(runs[paper].plan.figure(paper, name), rows, "")
    assert picture.axes[0].get_ylabel() == label


def test_pictures_are_the_same_bytes_again(runs):
    _, paths = written(runs["mlb"], "mlb/figure5")
    first = [path.read_bytes() for path in paths]
    draw.write_figure(runs["mlb"].plan, runs["mlb"].root, "mlb", "figure5")
    assert [path.read_bytes() for path in paths] == first


def test_a_figure_without_a_finished_run_is_refused_by_name(tmp_path, plans):
    with pytest.raises(UserError, match=r"mlb/figure5.*no finished run"):
        draw.write_figure(plans["mlb"], tmp_path, "mlb", "figure5")


def test_a_caption_names_the_seeds_that_are_drawn_and_no_others(tmp_path, repository):
    path = repository / "configs/benchmarks/mlb.yaml"
    plan = make_plan(repository, path, {"scale": "tiny", "seeds": "auto", "seed_looks": [2, 9]})
    cells = {label: cell for label, cell, _ in plan.figure("mlb", "figure5").cells}
    runs = Runs(tmp_path, dataclasses.replace(plan, cells=[]))
    for cell in cells.values():
        for seed in range(2):
            runs.write(cell, seed)
    assert "; seeds 0, 1;" in below(runs, plan, "figure5")
    runs.write(cells["MLB"], 2)
    allotted = {cells["MLB"].name: 3}
    said = below(runs, dataclasses.replace(plan, allotted=allotted), "figure5")
    assert "2 to 3 seeds per cell (0, 1, 2)" in said


def below(runs: Runs, plan: Plan, name: str) -> str:
    runs.plan, runs.figures = plan, {}
    rows, _ = written(runs, f"mlb/{name}")
    return draw.caption(plan.figure("mlb", name), rows, "tiny")


def test_a_formula_has_no_seeds(runs):
    rows, _ = written(runs["mlb"], "mlb/figure2")
    assert "seed" not in draw.caption(runs["mlb"].plan.figure("mlb", "figure2"), rows, "tiny")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([], "seeds "),
        ([[2, 0, 1], [0, 1, 2]], "seeds 0, 1, 2"),
        ([[0, 1], [0, 1, 2]], "2 to 3 seeds per cell (0, 1, 2)"),
        ([[0], [1]], "1 seed per cell (0, 1)"),
        ([[0], []], "0 to 1 seed per cell (0)"),
    ],
)
def test_seeds_are_counted_as_a_range_where_cells_differ(cells, said):
    assert str(seeds_in_all(cells)) == said


# What stands in them.


def test_the_bound_crosses_1_at_k_3(runs):
    rows, _ = written(runs["mmpareto"], "mmpareto/figure3")
    bound = {row["k"]: row["bound"] for row in rows}
    assert bound[1.0] == pytest.approx(0.5)
    assert bound[3.0] == pytest.approx(1.0)
    assert bound[11.0] == pytest.approx(32 / 24)
    assert sorted(bound.values()) == [bound[k] for k in sorted(bound)]
    assert max(bound.values()) < 1.5


def test_coefficients_are_those_of_the_formula(runs):
    rows, _ = written(runs["mlb"], "mlb/figure2")
    found = {(row["alpha"], row["beta_max"], row["ratio"]): row["coefficient"] for row in rows}
    assert found[0.5, 10.0, 0.5] == pytest.approx(0.755081, abs=1e-6)
    assert found[0.5, 10.0, 2.0] == pytest.approx(5.159054, abs=1e-6)
    assert found[0.5, 2.0, 2.0] == pytest.approx(1.462117, abs=1e-6)
    assert {value for (_, _, ratio), value in found.items() if ratio == 1.0} == {1.0}


@pytest.mark.parametrize("name", ["figure1a", "figure4a"])
def test_cosines_are_those_of_the_video_encoders_steps(runs, name):
    runs = runs["mmpareto"]
    rows, _ = written(runs, f"mmpareto/{name}")
    ((_, cell, _),) = runs.plan.figure("mmpareto", name).cells
    for seed in SEEDS:
        with (runs.folder(cell, seed) / "diagnostics.csv").open() as file:
            expected = [float(row["cosine.joint.visual.visual"]) for row in csv.DictReader(file)]
        found = where(rows, seed=seed)
        assert [row["iteration"] for row in found] == list(range(STEPS))
        assert [row["cosine"] for row in found] == pytest.approx(expected)


def test_accuracies_of_figure_1c_are_the_metrics_of_the_runs(runs):
    runs = runs["mmpareto"]
    rows, _ = written(runs, "mmpareto/figure1c")
    cells = runs.plan.figure("mmpareto", "figure1c").cells
    assert {row["method"] for row in rows} == {label for label, _, _ in cells}
    for label, cell, _ in cells:
        if label == "Single loss":
            continue
        metrics = json.loads((runs.folder(cell, 1) / runs.plan.metrics_name).read_text())
        outputs = metrics["selections"]["last"]["outputs"]
        for output in ("joint", "visual"):
            (row,) = where(rows, method=label, output=output, seed=1)
            assert row["accuracy"] == pytest.approx(100 * outputs[output]["accuracy"])


@pytest.mark.parametrize("name", ["figure1d", "figure4b"])
def test_magnitudes_are_of_the_video_encoder_and_keep_the_covariance_ratio(runs, name):
    rows, _ = written(runs["mmpareto"], f"mmpareto/{name}")
    assert len(rows) == len(SEEDS) * BATCHES
    assert {(row["seed"], row["k"]) for row in rows} == {(0, 4.0), (1, 5.0)}
    assert all(row["multimodal"] < 1 < 2 <= row["unimodal"] for row in rows)
    picture = draw.draw(runs["mmpareto"].plan.figure("mmpareto", name), rows, "")
    assert "k = 4.50" in picture.axes[0].get_title()
    assert sum(bar.get_height() for bar in picture.axes[0].patches) == 2 * len(rows)


def test_the_landscape_has_every_direction_and_its_sharpness(runs):
    rows, _ = written(runs["mmpareto"], "mmpareto/figure5")
    assert {row["method"] for row in rows} == {"Uniform baseline", "Conventional Pareto", "MMPareto"}
    assert len(where(rows, method="MMPareto", seed=0)) == 6
    picture = draw.draw(runs["mmpareto"].plan.figure("mmpareto", "figure5"), rows, "")
    loss = picture.axes[0].lines[0]
    assert list(loss.get_ydata()) == [2.0, 1.0, 2.0]
    assert list(picture.axes[1].lines[0].get_ydata()) == [50.0] * 3
    assert "sharpness 0.25" in loss.get_label()


def test_ticks_of_a_loss_over_three_decades_do_not_run_into_each_other(runs):
    rows, _ = written(runs["mmpareto"], "mmpareto/figure5")
    steep = [row | {"loss": 10 ** (1.5 * row["step"])} for row in rows]
    picture = draw.draw(runs["mmpareto"].plan.figure("mmpareto", "figure5"), steep, "")
    picture.draw_without_rendering()
    axis = picture.axes[0].yaxis
    labels = [*axis.get_majorticklabels(), *axis.get_minorticklabels()]
    boxes = sorted((label.get_window_extent() for label in labels if label.get_text()), key=lambda box: box.y0)
    assert len(boxes) > 3
    assert all(below.y1 <= above.y0 for below, above in itertools.pairwise(boxes))


def agreement(runs: Runs, name: str) -> Iterator[tuple[str, int, dict]]:
    rows, _ = written(runs, f"mlb/{name}")
    for label, cell, _ in runs.plan.figure("mlb", name).cells:
        for seed in SEEDS if not label.endswith(" alone") else ():
            found = {(r["unimodal"], r["correct"]): r["share"] for r in where(rows, method=label, seed=seed)}
            yield label, cell, found


@pytest.mark.parametrize("name", ["figure4a", "figure4b"])
def test_shares_of_an_agreement_sum_to_one(runs, name):
    found = list(agreement(runs["mlb"], name))
    assert len(found) == 4 * len(SEEDS)
    for _, _, shares in found:
        assert len(shares) == 8
        assert sum(shares.values()) == pytest.approx(100.0)


def test_agreement_counts_what_each_model_gets_right(tmp_path, plans):
    runs = Runs(tmp_path, plans["mlb"])
    labels = np.arange(TEST_SIZE) % CLASSES
    samples = np.arange(TEST_SIZE)

    def right_on(chosen: np.ndarray) -> np.ndarray:
        return 4.0 * np.eye(CLASSES)[np.where(chosen, labels, (labels + 1) % CLASSES)]

    cells = {label: cell for label, cell, _ in runs.plan.figure("mlb", "figure4b").cells}
    for seed in SEEDS:
        runs.write(cells["audio alone"], seed, {"audio": right_on(samples < 30)})
        runs.write(cells["visual alone"], seed, {"visual": right_on((samples >= 20) & (samples < 35))})
        runs.write(cells["MLB"], seed, {"joint": right_on(samples % 2 == 0)})
    for label, _, shares in agreement(runs, "figure4b"):
        cases = {case: shares[case, "True"] + shares[case, "False"] for case, _ in shares}
        expected = {"Both False": 25, "Audio True": 20, "Video True": 5, "Both True": 10}
        assert cases == pytest.approx({case: 100 * n / TEST_SIZE for case, n in expected.items()})
        if label == "MLB":
            assert shares["Audio True", "True"] == pytest.approx(100 * 10 / TEST_SIZE)
            assert shares["Video True", "True"] == pytest.approx(100 * 3 / TEST_SIZE)


def test_the_calibration_error_of_figure_5_is_the_metrics(runs):
    from counterpoise.results.metrics import classification_metrics

    runs = runs["mlb"]
    rows, _ = written(runs, "mlb/figure5")
    labels = np.arange(TEST_SIZE) % CLASSES
    for label, cell, _ in runs.plan.figure("mlb", "figure5").cells:
        with np.load(runs.folder(cell, 0) / "predictions.npz") as stored:
            expected = classification_metrics(stored["best_val.logits.joint"], labels, 15)
        found = where(rows, method=label, seed=0)
        assert [row["ece"] for row in found] == pytest.approx([100 * expected["ece"]] * len(found), abs=1e-4)
        assert sum(row["count"] for row in found) == TEST_SIZE
        hits = sum(row["count"] * row["accuracy"] for row in found)
        assert hits / TEST_SIZE == pytest.approx(100 * expected["accuracy"])


@pytest.mark.parametrize("name", ["figure3", "figure6"])
def test_bars_of_a_table_are_its_columns(runs, name):
    runs = runs["mlb"]
    rows, _ = written(runs, f"mlb/{name}")
    paper_table = runs.plan.papers["mlb"].tables[name]
    headings = {group.id: " / ".join(group.heading) for group in paper_table.groups}
    expected = {
        (headings[paper_table.column(value.column).group], value.row): value.cell
        for value in runs.plan.values
        if value.table == name and value.cell is not None
    }
    assert {(row["panel"], row["method"]) for row in rows} == set(expected)
    for row in rows:
        folder = runs.folder(expected[row["panel"], row["method"]], int(row["seed"]))
        metrics = json.loads((folder / runs.plan.metrics_name).read_text())
        value = metrics["selections"]["best_val"]["outputs"]["joint"]["accuracy"]
        assert row["accuracy"] == pytest.approx(100 * value)
