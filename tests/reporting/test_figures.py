"""Figures: what stands in their CSV is what the results say, and what is drawn of it can be read."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import itertools
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from made_results import MadeResults
from matplotlib.colors import to_hex
from PIL import Image

from counterpoise.components import components
from counterpoise.errors import UserError
from counterpoise.metrics import calibration_bins, calibration_error
from counterpoise.papers.figures import Figure
from counterpoise.papers.paper import load_paper, paper_names
from counterpoise.planning.plan import make_plan
from counterpoise.reporting.figures import draw as draw_module
from counterpoise.reporting.figures import draw_figures, draw_tables
from counterpoise.reporting.figures.draw import DrawnFigure, NothingToDraw, load_kind
from counterpoise.reporting.figures.kinds.formula import evaluate
from counterpoise.reporting.figures.style import STYLE
from counterpoise.results.layout import Layout, LayoutFigure
from counterpoise.results.table import Results, RunEntry, as_table
from counterpoise.runs.layout import layout_of

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PAPERS = {name: load_paper(CONFIGS, name) for name in paper_names(CONFIGS)}
ALL = [(name, figure) for name, paper in PAPERS.items() for figure in paper.figures]
SEEDS = (0, 1)
TEST_SIZE, CLASSES, BATCHES = 60, 6, 20
# Okabe and Ito (2008): distinguishable with every common kind of colour blindness.
OKABE_ITO = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"}


class MadeRuns:
    """Results of a paper's whole benchmark in miniature, made of random numbers: every run completed."""

    def __init__(self, paper: str, folder: Path) -> None:
        repository = CONFIGS.parent
        plan = make_plan(
            repository, repository / f"configs/benchmarks/{paper}.yaml", {"scale": "tiny", "seeds": list(SEEDS)}
        )
        self.layout: Layout = layout_of(plan, repository)
        self.paper = PAPERS[paper]
        self.folder = folder
        self.values: dict[tuple[str, int, str, str], float] = {}
        self.correct: dict[tuple[str, int, str, str], np.ndarray] = {}
        self.details: dict[tuple[str, int, str, str], dict[str, np.ndarray]] = {}
        for number, (name, cell) in enumerate(self.layout.cells.items()):
            for seed in SEEDS:
                random = np.random.default_rng([number, seed])
                for output in ("joint", *cell.config["model"]["encoders"]):
                    sure, right = random.uniform(1 / CLASSES, 1, TEST_SIZE), random.uniform(size=TEST_SIZE) < 0.6
                    place = (name, seed, self.layout.selection, output)
                    bins = calibration_bins(sure, right, 15)
                    self.correct[place] = right
                    self.details[place] = {"reliability": bins}
                    self.values[(name, seed, output, "accuracy")] = float(right.mean())
                    self.values[(name, seed, output, "ece")] = calibration_error(bins)
                self.write_steps(name, seed, np.tanh(random.normal(size=450)))
        for place in self.layout.figures:
            for series in place.series if place.measurement else ():
                for seed in SEEDS:
                    self.write_measurement(series.cell, seed, place.measurement)

    def path(self, cell: str, seed: int, name: str) -> Path:
        path = self.folder / cell / f"seed-{seed}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_steps(self, cell: str, seed: int, cosines: np.ndarray) -> None:
        steps = pd.DataFrame({"step": range(len(cosines)), "cosine.joint.visual.visual": cosines})
        steps.to_csv(self.path(cell, seed, "diagnostics.csv"), index=False)

    def write_measurement(self, cell: str, seed: int, name: str) -> None:
        random = np.random.default_rng(seed)
        if name.startswith("gradients"):
            rows = pd.DataFrame(
                {
                    "batch": np.tile(np.arange(BATCHES), 2),
                    "encoder": np.repeat(["audio", "visual"], BATCHES),
                    "multimodal": random.uniform(size=2 * BATCHES),
                    "unimodal": 2 + 2 * random.uniform(size=2 * BATCHES),
                    "k": 4.0 + seed,
                }
            )
        else:
            steps = [(d, s) for d in range(2) for s in (-1.0, 0.0, 1.0)]
            rows = pd.DataFrame(steps, columns=["direction", "step"])
            rows = rows.assign(loss=1 + rows["step"] ** 2, accuracy=0.5, sharpness=0.25 + seed)
        rows.to_csv(self.path(cell, seed, f"{name}.csv"), index=False)

    def results(self, status: dict[tuple[str, int], str] | None = None) -> Results:
        """The results; ``status`` says of runs, by cell and seed, that they are something else than completed."""
        ended = {(cell, seed): "completed" for cell in self.layout.cells for seed in SEEDS} | (status or {})
        rows = [
            {
                **self.layout.cells[cell].model_dump(
                    include={"dataset", "model", "method", "variant", "protocol", "key"}
                ),
                "seed": seed,
                "status": "completed",
                "selection": self.layout.selection,
                "epoch": 1,
                "output": output,
                "metric": metric,
                "value": value,
                "n_test": TEST_SIZE,
            }
            for (cell, seed, output, metric), value in self.values.items()
            if ended[cell, seed] == "completed"
        ]
        return Results(
            layout=self.layout,
            values=as_table(rows),
            runs=tuple(
                RunEntry(cell=cell, seed=seed, status=how, n_test=TEST_SIZE if how == "completed" else None)
                for (cell, seed), how in ended.items()
            ),
            correct={place: right for place, right in self.correct.items() if ended[place[:2]] == "completed"},
            details={place: found for place, found in self.details.items() if ended[place[:2]] == "completed"},
            runs_folder=self.folder,
        )

    def cells(self, figure: str) -> dict[str, str]:
        """Label -> cell of a figure's series."""
        place = next(place for place in self.layout.figures if place.figure == figure)
        return {series.label: series.cell for series in place.series}

    def comparable(self) -> MadeRuns:
        """The same, as if the data were the paper's own."""
        changed = MadeRuns.__new__(MadeRuns)
        changed.__dict__ |= self.__dict__
        changed.layout = self.layout.model_copy(
            update={
                "figures": tuple(f.model_copy(update={"stand_in": False}) for f in self.layout.figures),
                "values": tuple(v.model_copy(update={"stand_in": False}) for v in self.layout.values),
            }
        )
        return changed


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, MadeRuns]:
    return {name: MadeRuns(name, tmp_path_factory.mktemp(name)) for name in PAPERS}


def drawn(runs: MadeRuns, figure: str, results: Results | None = None) -> DrawnFigure:
    place = next(place for place in runs.layout.figures if place.figure == figure)
    return DrawnFigure(results or runs.results(), runs.paper, place, runs.paper.figure(figure))


@pytest.fixture(scope="module")
def figure(made):
    """Return a function that gives a figure of all completed runs; each is made once."""
    return functools.cache(lambda paper, name: drawn(made[paper], name))


def only(runs: MadeRuns, *names: str, results: Results | None = None) -> Results:
    """Results whose layout has some of the figures: drawing all of them takes long."""
    figures = tuple(place for place in runs.layout.figures if place.figure in names)
    return dataclasses.replace(results or runs.results(), layout=runs.layout.model_copy(update={"figures": figures}))


def picture_of(found: DrawnFigure):
    with mpl.rc_context(STYLE):
        return found.picture()


def where(frame: pd.DataFrame, **wanted) -> pd.DataFrame:
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    return frame


# What every figure has.


def test_the_benchmarks_draw_every_figure_that_the_papers_have(made):
    assert sorted((f.paper, f.figure) for runs in made.values() for f in runs.layout.figures) == sorted(ALL)


def test_every_kind_of_figure_is_used(made):
    used = {figure.kind for paper in PAPERS.values() for figure in paper.figures.values()}
    assert used | {"dots"} == set(components("figure_kind")), "dots are the pictures of tables"


@pytest.fixture(scope="module")
def written(made, tmp_path_factory) -> Path:
    """The figures of both benchmarks, drawn into one folder."""
    folder = tmp_path_factory.mktemp("derived")
    for runs in made.values():
        assert draw_figures(runs.results(), PAPERS, folder) == []
    return folder / "figures"


@pytest.mark.parametrize(("paper", "name"), ALL)
def test_a_figure_is_written_as_csv_and_in_print_quality(written, figure, paper, name):
    stored = pd.read_csv(written / paper / f"{name}.csv")
    expected = figure(paper, name).frame
    assert list(stored.columns) == list(expected.columns)
    assert len(stored) == len(expected) > 1
    assert (written / paper / f"{name}.txt").read_text() == figure(paper, name).caption() + "\n"
    vector = (written / paper / f"{name}.svg").read_text()
    assert vector.startswith("<?xml")
    assert "<text" not in vector, "text as paths: the same with whatever fonts a reader has"
    with Image.open(written / paper / f"{name}.png") as picture:
        assert min(picture.size) >= 600
        assert len(picture.convert("L").getcolors()) > 20


@pytest.mark.parametrize(("paper", "name"), ALL)
def test_axes_are_named_and_colours_are_safe_for_the_colour_blind(figure, paper, name):
    found = figure(paper, name)
    picture = picture_of(found)
    assert picture.axes[0].get_ylabel()
    for axes in picture.axes:
        categories = any(label.get_rotation() > 0 for label in axes.get_xticklabels())
        assert axes.get_xlabel() or categories
        colours = [to_hex(bar.get_facecolor()).upper() for bar in axes.patches]
        # Caps of error bars are lines without a line.
        visible = [line for line in axes.lines if line.get_linestyle() != "None" or line.get_marker() == "."]
        colours += [to_hex(line.get_color()).upper() for line in visible]
        assert set(colours) <= OKABE_ITO | {"#000000", "#808080"}
        looks = [
            (to_hex(line.get_color()), line.get_linestyle(), line.get_marker())
            for line in axes.lines
            if line.get_label()[0] != "_"
        ]
        assert len(looks) == len(set(looks))
    shown = picture.legends[0].get_title().get_text() if picture.legends else picture.get_suptitle()
    assert shown == found.figure.title
    of_runs = bool(found.figure.series or found.figure.table)
    assert ("stand-in" in picture.get_supxlabel()) == of_runs


@pytest.mark.parametrize(
    ("paper", "name", "label"),
    [
        ("mmpareto", "figure1c", "unimodal test accuracy, visual (%)"),
        ("mmpareto", "figure5", "test loss (nats)"),
        ("mlb", "figure3", "test accuracy (%)"),
        ("mlb", "figure4a", "multimodal prediction (% of test)"),
        ("mlb", "figure5", "expected calibration error (%)"),
    ],
)
def test_an_axis_with_a_unit_says_it(figure, paper, name, label):
    assert picture_of(figure(paper, name)).axes[0].get_ylabel() == label


def test_pictures_are_the_same_bytes_again(made, written, tmp_path):
    assert draw_figures(only(made["mlb"], "figure2", "figure5"), PAPERS, tmp_path) == []
    paths = sorted((tmp_path / "figures/mlb").iterdir())
    assert len(paths) == 8
    for path in paths:
        assert path.read_bytes() == (written / "mlb" / path.name).read_bytes()


# What cannot be drawn.


def test_a_figure_that_cannot_be_drawn_is_named_and_the_others_are_drawn(made, tmp_path):
    runs = made["mmpareto"]
    (cell,) = runs.cells("figure4a").values()
    gone = {(cell, seed): "missing" for seed in SEEDS}
    problems = draw_figures(only(runs, "figure4a", "figure3", results=runs.results(gone)), PAPERS, tmp_path)
    assert problems == ["figure mmpareto/figure4a: no finished run gives anything to draw"]
    assert {path.stem for path in (tmp_path / "figures/mmpareto").iterdir()} == {"figure3"}


def test_a_figure_without_a_run_is_told_from_one_that_is_wrong(made):
    runs = made["mmpareto"]
    (cell,) = runs.cells("figure4a").values()
    with pytest.raises(NothingToDraw):
        drawn(runs, "figure4a", runs.results({(cell, seed): "missing" for seed in SEEDS}))
    unknown = runs.paper.figure("figure4a").model_copy(update={"kind": "pie"})
    with pytest.raises(UserError, match="pie") as wrong:
        load_kind(unknown)
    assert not isinstance(wrong.value, NothingToDraw)


def test_a_figure_that_its_paper_does_not_have_is_named(made, tmp_path):
    runs = made["mlb"]
    strange = runs.layout.figures[0].model_copy(update={"figure": "figure99"})
    layout = runs.layout.model_copy(update={"figures": (strange, runs.layout.figures[0])})
    problems = draw_figures(dataclasses.replace(runs.results(), layout=layout), PAPERS, tmp_path)
    assert len(problems) == 1
    assert "figure99" in problems[0]
    assert (tmp_path / "figures/mlb/figure2.csv").is_file()


def test_a_fault_in_a_kind_does_not_keep_the_other_figures_from_being_drawn(made, tmp_path, monkeypatch):
    from counterpoise.reporting.figures.kinds import reliability

    def fail(*_):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(reliability.Reliability, "rows", fail)
    problems = draw_figures(only(made["mlb"], "figure5", "figure2"), PAPERS, tmp_path)
    assert problems == ["figure mlb/figure5: ZeroDivisionError: a fault"]
    assert not list((tmp_path / "figures/mlb").glob("figure5.*"))
    assert (tmp_path / "figures/mlb/figure2.svg").is_file()


def test_diagnostics_without_the_cosine_are_named_with_the_column(made, tmp_path):
    runs = made["mmpareto"]
    (cell,) = runs.cells("figure1a").values()
    path = tmp_path / cell / "seed-0/diagnostics.csv"
    path.parent.mkdir(parents=True)
    path.write_text("step,update_norm.visual\n0,1.0\n")
    with pytest.raises(UserError, match=r"seed-0/diagnostics.csv: has no column 'cosine.joint.visual.visual'"):
        drawn(runs, "figure1a", dataclasses.replace(runs.results(), runs_folder=tmp_path))


def test_files_of_a_published_record_are_read_packed(made, tmp_path):
    runs = made["mmpareto"]
    (cell,) = runs.cells("figure1a").values()
    path = tmp_path / cell / "seed-0/diagnostics.csv.gz"
    path.parent.mkdir(parents=True)
    pd.read_csv(runs.path(cell, 0, "diagnostics.csv")).to_csv(path, index=False)
    found = drawn(runs, "figure1a", dataclasses.replace(runs.results(), runs_folder=tmp_path))
    assert set(found.frame["seed"]) == {0}


def test_a_packed_file_that_unpacks_to_more_than_any_series_has_is_not_read(made, tmp_path, monkeypatch):
    monkeypatch.setattr("counterpoise.reporting.figures.interface.LARGEST", 1000)
    runs = made["mmpareto"]
    (cell,) = runs.cells("figure1a").values()
    path = tmp_path / cell / "seed-0/diagnostics.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b"step,cosine.joint.visual.visual\n" + b"0,1.0\n" * 1000))
    with pytest.raises(UserError, match=r"diagnostics\.csv\.gz: unpacks to more than 1,000 bytes"):
        drawn(runs, "figure1a", dataclasses.replace(runs.results(), runs_folder=tmp_path))


# What is said below them.


def test_a_caption_says_which_seeds_are_drawn_and_which_series_lack_some(made):
    runs = made["mlb"]
    assert "; seeds 0, 1;" in drawn(runs, "figure5").caption()
    cells = runs.cells("figure5")
    status = {(cells["MLB"], 1): "diverged", (cells["AGM"], 0): "failed", (cells["AGM"], 1): "missing"}
    said = drawn(runs, "figure5", runs.results(status)).caption()
    assert "; seeds 0, 1; MLB: 1 of 2 seeds;" in said
    assert "AGM: no finished run" in said
    assert "audio alone" not in drawn(runs, "figure4a").caption().splitlines()[0]


def test_a_formula_has_no_seeds(figure):
    assert "seed" not in figure("mlb", "figure2").caption()


def test_what_a_figure_chooses_is_said_below_it_with_its_numbers(figure):
    assert "of the uniform baseline: the paper names no method" in figure("mmpareto", "figure1a").caption()
    assert "the first 400 iterations" in figure("mmpareto", "figure1a").caption()
    assert "up to 400 mini-batches" in figure("mmpareto", "figure1d").caption()
    assert "within 0.5 filter norms" in figure("mmpareto", "figure5").caption()
    said = " ".join(picture_of(figure("mmpareto", "figure5")).get_supxlabel().split())
    assert "3 random directions per run, 21 steps" in said


def test_a_printed_number_stands_beside_ours_only_where_they_may_be_compared(made):
    runs = made["mmpareto"]
    frame = drawn(runs, "figure1d").frame
    mean = frame.groupby("seed")["multimodal"].mean().mean()
    on_stand_in = drawn(runs, "figure1d").caption()
    assert f"multimodal mean: {mean:.4g}" in on_stand_in
    assert "2.379" not in on_stand_in
    said = drawn(runs.comparable(), "figure1d").caption()
    assert f"multimodal mean: {mean:.4g} ± " in said
    for number in ("[2.379]", "[3.383]", "[0.053]", "[0.162]"):
        assert number in said
    assert "[about 35]" in drawn(runs.comparable(), "figure1c").caption()


@pytest.mark.parametrize("paper", PAPERS)
def test_every_printed_number_of_a_figure_is_one_that_its_kind_gives(made, paper):
    for name, source in PAPERS[paper].figures.items():
        if source.printed:
            found = drawn(made[paper], name)
            ours = found.kind.numbers(found.frame, found.results, found.place, found.paper)
            assert {(number.series, number.quantity) for number in source.printed} <= set(ours)


# What stands in them.


def test_the_bound_crosses_1_at_k_3(figure):
    frame = figure("mmpareto", "figure3").frame
    bound = dict(zip(frame["k"], frame["value"], strict=True))
    assert bound[1.0] == pytest.approx(0.5)
    assert bound[3.0] == pytest.approx(1.0)
    assert bound[11.0] == pytest.approx(32 / 24)
    assert sorted(bound.values()) == [bound[k] for k in sorted(bound)]
    assert max(bound.values()) < 1.5


def test_between_one_half_and_the_bound_the_noise_of_pareto_is_below_that_of_the_sum(figure):
    """MMPareto, Equations 12 to 15: weights 2 alpha and 2 (1 - alpha), covariances C and k C."""
    frame = figure("mmpareto", "figure3").frame
    alpha = np.arange(0.0037, 1.0, 0.01)
    for k, bound in zip(frame["k"], frame["value"], strict=True):
        noise = (2 * alpha) ** 2 + (2 * (1 - alpha)) ** 2 * k
        np.testing.assert_array_equal(noise < 1 + k, (alpha > 0.5) & (alpha < bound))


def test_coefficients_are_those_of_the_formula(figure):
    frame = figure("mlb", "figure2").frame
    found = frame.set_index(["alpha", "beta_max", "r"])["value"]
    assert found[0.5, 10.0, 0.5] == pytest.approx(0.755081, abs=1e-6)
    assert found[0.5, 10.0, 2.0] == pytest.approx(5.159054, abs=1e-6)
    assert found[0.5, 2.0, 2.0] == pytest.approx(1.462117, abs=1e-6)
    assert set(frame[frame["r"] == 1.0]["value"]) == {1.0}
    assert len(picture_of(figure("mlb", "figure2")).axes[0].get_legend().get_texts()) == 6


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("2 * x ** 2 - 1 / 4", 17.75),
        ("-x if x > 2 else x", -3.0),
        ("-x if x <= 2 else abs(1 - x)", 2.0),
        ("tanh(log(exp(x))) + sqrt(4)", 2.9950547536867305),
        ("9 ** 9 ** 9 ** 9", float("inf")),
    ],
)
def test_a_formula_is_computed_in_float64(formula, value):
    assert evaluate(formula, {"x": np.float64(3.0)}) == pytest.approx(value)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("__import__('os').getcwd()", "is not allowed"),
        ("(lambda: 1)()", "is not allowed"),
        ("x.real", "is not allowed"),
        ("[x for x in (1, 2)]", "is not allowed"),
        ("'a' * 9", "is not allowed"),
        ("y + 1", "'y' is not allowed; names and functions: x, tanh"),
        ("1 +", "cannot be read"),
        ("(" * 400 + "1" + ")" * 99, "cannot be read"),
        ("1" + "+1" * 5000, "at most 500"),
    ],
)
def test_a_formula_can_do_nothing_but_compute(formula, said):
    with pytest.raises(UserError, match="formula") as caught:
        evaluate(formula, {"x": np.float64(3.0)})
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["figure1a", "figure4a"])
def test_cosines_are_those_of_the_first_400_steps_of_the_video_encoder_by_sign(made, figure, name):
    runs, frame = made["mmpareto"], figure("mmpareto", name).frame
    (cell,) = runs.cells(name).values()
    assert "/uniform-published." in cell
    for seed in SEEDS:
        expected = pd.read_csv(runs.path(cell, seed, "diagnostics.csv"))["cosine.joint.visual.visual"][:400]
        found = where(frame, seed=seed)
        assert list(found["iteration"]) == list(range(400))
        assert list(found["cosine"]) == pytest.approx(list(expected))
    axes = picture_of(figure("mmpareto", name)).axes[0]
    drawn_points = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert (drawn_points["positive"] >= 0).all()
    assert (drawn_points["negative: a conflict"] < 0).all()
    assert len(drawn_points["positive"]) + len(drawn_points["negative: a conflict"]) == len(frame)
    assert f"{100 * (frame['cosine'] < 0).mean():.1f} %" in axes.get_title()


def test_steps_without_an_angle_are_left_out(made, tmp_path):
    runs = made["mmpareto"]
    (cell,) = runs.cells("figure1a").values()
    path = tmp_path / cell / "seed-0/diagnostics.csv"
    path.parent.mkdir(parents=True)
    path.write_text("step,cosine.joint.visual.visual\n0,0.5\n1,\n2,-0.5\n")
    found = drawn(runs, "figure1a", dataclasses.replace(runs.results(), runs_folder=tmp_path))
    assert list(found.frame["iteration"]) == [0, 2]


def test_figure_1c_has_each_methods_two_accuracies_and_the_lines_of_single_losses(made, figure):
    runs, found = made["mmpareto"], figure("mmpareto", "figure1c")
    cells = runs.cells("figure1c")
    for label, cell in cells.items():
        rows = where(found.frame, method=label)
        expected = {"Single multimodal loss": {"multimodal"}, "Single unimodal loss": {"unimodal"}}.get(
            label, {"multimodal", "unimodal"}
        )
        assert set(rows["axis"]) == expected
        for _, row in rows.iterrows():
            output = {"multimodal": "joint", "unimodal": "visual"}[row["axis"]]
            assert row["accuracy"] == pytest.approx(100 * runs.values[cell, row["seed"], output, "accuracy"])
    axes = picture_of(found).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    across = where(found.frame, method="Single unimodal loss")["accuracy"].mean()
    up = where(found.frame, method="Single multimodal loss")["accuracy"].mean()
    assert set(lines["Single unimodal loss"].get_ydata()) == {across}
    assert set(lines["Single multimodal loss"].get_xdata()) == {up}
    shown = {text.get_text() for text in picture_of(found).legends[0].get_texts()}
    assert shown == set(cells)


@pytest.mark.parametrize("name", ["figure1d", "figure4b"])
def test_magnitudes_give_mean_variance_and_ratio_of_the_norms_and_k_beside_them(figure, name):
    found = figure("mmpareto", name)
    frame = found.frame
    assert len(frame) == len(SEEDS) * BATCHES
    assert (frame["multimodal"] < 1).all()
    assert (frame["unimodal"] >= 2).all()
    numbers = found.kind.numbers(frame, found.results, found.place, found.paper)
    for seed in SEEDS:
        rows = where(frame, seed=seed)
        of = {name: values[seed] for (_, name), values in numbers.items()}
        variances = [np.var(rows[kind], ddof=1) for kind in ("multimodal", "unimodal")]
        assert of["multimodal_mean"] == pytest.approx(np.mean(rows["multimodal"]))
        assert of["unimodal_variance"] == pytest.approx(variances[1])
        assert of["variance_ratio"] == pytest.approx(variances[1] / variances[0])
        assert of["k"] == 4.0 + seed
    axes = picture_of(found).axes[0]
    assert "k = 4.50" in axes.get_title()
    assert "ratio of the variances" in axes.get_title()
    assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(2 * BATCHES), "of an average run"


def test_the_landscape_has_every_direction_and_its_sharpness(figure):
    found = figure("mmpareto", "figure5")
    assert list(dict.fromkeys(found.frame["method"])) == ["Uniform baseline", "Conventional Pareto", "MMPareto"]
    assert len(where(found.frame, method="MMPareto", seed=0)) == 6
    picture = picture_of(found)
    loss = picture.axes[0].lines[0]
    assert list(loss.get_ydata()) == [2.0, 1.0, 2.0]
    assert list(picture.axes[1].lines[0].get_ydata()) == [50.0] * 3
    assert "sharpness 0.75" in loss.get_label()


def test_ticks_of_a_loss_over_three_decades_do_not_run_into_each_other(made):
    found = drawn(made["mmpareto"], "figure5")
    found.frame = found.frame.assign(loss=10 ** (1.5 * found.frame["step"]))
    picture = picture_of(found)
    picture.draw_without_rendering()
    axis = picture.axes[0].yaxis
    labels = [*axis.get_majorticklabels(), *axis.get_minorticklabels()]
    boxes = sorted((label.get_window_extent() for label in labels if label.get_text()), key=lambda box: box.y0)
    assert len(boxes) > 3
    assert all(below.y1 <= above.y0 for below, above in itertools.pairwise(boxes))


@pytest.mark.parametrize("name", ["figure4a", "figure4b"])
def test_shares_of_an_agreement_sum_to_one(figure, name):
    frame = figure("mlb", name).frame
    assert set(frame["method"]) == {"Joint Training", "AGM", "Multi-Loss", "MLB"}
    for _, shares in frame.groupby(["method", "seed"]):
        assert len(shares) == 8
        assert shares["share"].sum() == pytest.approx(100.0)


def test_agreement_counts_what_each_model_gets_right(made):
    runs = made["mlb"]
    cells, examples = runs.cells("figure4b"), np.arange(TEST_SIZE)
    results = runs.results()
    selection = runs.layout.selection
    for seed in SEEDS:
        results.correct[cells["audio alone"], seed, selection, "audio"] = examples < 30
        results.correct[cells["visual alone"], seed, selection, "visual"] = (examples >= 20) & (examples < 35)
        results.correct[cells["MLB"], seed, selection, "joint"] = examples % 2 == 0
    frame = drawn(runs, "figure4b", results).frame
    cases = frame.groupby(["method", "seed", "unimodal"])["share"].sum()
    expected = {"Both False": 25, "Audio True": 20, "Video True": 5, "Both True": 10}
    for (_, _, case), share in cases.items():
        assert share == pytest.approx(100 * expected[case] / TEST_SIZE)
    mlb = where(frame, method="MLB", seed=0, multimodal="right").set_index("unimodal")["share"]
    assert mlb["Audio True"] == pytest.approx(100 * 10 / TEST_SIZE)
    assert mlb["Video True"] == pytest.approx(100 * 3 / TEST_SIZE)


def test_an_agreement_on_other_test_examples_is_refused(made):
    runs = made["mlb"]
    results = runs.results()
    results.correct[runs.cells("figure4b")["MLB"], 0, runs.layout.selection, "joint"] = np.ones(7, bool)
    with pytest.raises(UserError, match="MLB, seed 0: was tested on other examples"):
        drawn(runs, "figure4b", results)


def test_an_agreement_needs_two_unimodal_series():
    figure = PAPERS["mlb"].figure("figure4a").model_copy(update={"settings": {"alone": {"Audio": "audio alon"}}})
    kind = load_kind(figure)
    place = type("Place", (), {"series": ()})()
    with pytest.raises(UserError, match="alone: must name two series"):
        kind.rows(None, place, PAPERS["mlb"])


def test_the_calibration_error_and_bins_of_figure_5_are_those_of_the_results(made, figure):
    runs, frame = made["mlb"], figure("mlb", "figure5").frame
    for label, cell in runs.cells("figure5").items():
        for seed in SEEDS:
            found = where(frame, method=label, seed=seed)
            assert found["ece"].tolist() == pytest.approx([100 * runs.values[cell, seed, "joint", "ece"]] * len(found))
            gaps = found["count"] * abs(found["accuracy"] - found["confidence"])
            assert gaps.sum() / TEST_SIZE == pytest.approx(found["ece"].iloc[0])
            assert found["count"].sum() == TEST_SIZE
            hits = (found["count"] * found["accuracy"]).sum() / TEST_SIZE
            assert hits == pytest.approx(100 * runs.values[cell, seed, "joint", "accuracy"])


@pytest.mark.parametrize("name", ["figure3", "figure6"])
def test_bars_of_a_table_are_its_values(made, figure, name):
    runs, frame = made["mlb"], figure("mlb", name).frame
    table = runs.paper.table(name)
    expected = {}
    for value in runs.layout.values_of("mlb", name):
        if value.cell is not None:
            heading = table.group(value.row, value.column).heading
            expected[heading[0], " / ".join(heading[1:]), value.row] = value.cell
    assert set(zip(frame["panel"], frame["setting"], frame["method"], strict=True)) == set(expected)
    for row in frame.itertuples():
        cell = expected[row.panel, row.setting, row.method]
        assert row.value == pytest.approx(100 * runs.values[cell, row.seed, "joint", "accuracy"])


def test_gains_are_over_the_best_earlier_method_of_each_fusion(made):
    runs = made["mlb"]
    results = runs.results()
    found = drawn(runs, "figure3", results)
    numbers = found.kind.numbers(found.frame, results, found.place, found.paper)
    earlier = ["Joint Training", "MMCosine", "MSLR", "OGM", "AGM", "PMR"]
    gains = []
    for column in ("figure3.ave_resnet_late.accuracy", "figure3.ave_resnet_mid.accuracy"):
        table, _, name = column.partition(".")
        means = {
            value.row: results.seeds(value.cell, "best_val", "joint", "accuracy", 100).mean
            for value in runs.layout.values_of("mlb", table)
            if value.column == name and value.cell is not None
        }
        gains.append(means["MLB"] - max(means[row] for row in earlier if row in means))
    assert numbers["AVE", "smallest_gain"] == {-1: pytest.approx(min(gains))}
    assert numbers["AVE", "largest_gain"] == {-1: pytest.approx(max(gains))}
    assert "AVE, smallest gain" in found.caption()


def test_a_gain_is_not_given_while_a_method_has_not_run(made):
    runs = made["mlb"]
    cell = next(
        value.cell
        for value in runs.layout.values_of("mlb", "figure3")
        if (value.row, value.column) == ("OGM", "ave_resnet_late.accuracy")
    )
    results = runs.results({(cell, seed): "failed" for seed in SEEDS})
    found = drawn(runs, "figure3", results)
    numbers = found.kind.numbers(found.frame, results, found.place, found.paper)
    assert ("AVE", "smallest_gain") not in numbers
    assert ("UCF-101", "largest_gain") in numbers
    assert "AVE, smallest gain: –" in found.caption()


# Pictures of tables.


def points(axes) -> dict[str, list[float]]:
    return {part.get_label(): sorted(part.get_offsets()[:, 0].tolist()) for part in axes.collections}


@pytest.fixture
def table_picture(monkeypatch, tmp_path):
    """Return a function that draws the tables of made results and gives the picture of one, None without one."""

    def draw(results: Results, table: str):
        pictures = {}
        monkeypatch.setattr(draw_module, "save", lambda picture, base, dpi: pictures.update({base.name: picture}))
        assert draw_tables(results, PAPERS, tmp_path) == []
        return pictures.get(table)

    return draw


def table3() -> MadeResults:
    """Table 3 with Kinetics-Sounds as in the paper and a stand-in for CG-MNIST, three seeds of two methods."""
    made = MadeResults("mmpareto", {"table3": {"cg_mnist": "cg_digits", "kinetics_sounds": "kinetics_sounds"}})
    for dataset in ("cg_digits", "kinetics_sounds"):
        made.runs("uniform", [0.60, 0.61, 0.65], dataset=dataset)
        made.runs("mmpareto", [0.70, 0.72], dataset=dataset)
    return made


def test_every_seed_and_every_mean_of_a_table_is_where_its_number_is(table_picture):
    picture = table_picture(table3().results, "table3")
    shown = points(picture.axes[0])
    assert shown["one seed"] == pytest.approx([60, 61, 65, 70, 72])
    assert shown["our mean"] == pytest.approx([62, 71])
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == ["Uniform baseline", "MMPareto"]
    assert "(%)" in picture.axes[0].get_xlabel()


def test_a_printed_number_is_drawn_only_where_it_may_be_compared(table_picture):
    stand_in, _, own, _ = table_picture(table3().results, "table3").axes
    assert "printed" not in points(stand_in)
    table = PAPERS["mmpareto"].table("table3")
    printed = [table.value(row, "kinetics_sounds.accuracy").value for row in ("Uniform baseline", "MMPareto")]
    assert points(own)["printed"] == pytest.approx(sorted(printed))


def test_a_table_without_numbers_of_ours_has_no_picture(table_picture):
    assert table_picture(MadeResults("mmpareto", {"table3": {"cg_mnist": "cg_mnist"}}).results, "table3") is None


def test_pictures_of_tables_stand_beside_them_and_are_the_same_bytes_again(tmp_path):
    results = table3().results
    assert draw_tables(results, PAPERS, tmp_path) == []
    first = {path.name: path.read_bytes() for path in (tmp_path / "tables/mmpareto").iterdir()}
    assert set(first) == {"table3.svg", "table3.png"}
    draw_tables(results, PAPERS, tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "tables/mmpareto").iterdir()} == first


@pytest.mark.parametrize(("n_test", "label"), [(686, "printed"), (752, "printed, not comparable")])
def test_a_printed_number_that_is_not_comparable_is_marked_in_the_picture_of_a_table(make_study, n_test, label):
    study = make_study("table7", {"cmu_mosi": "cmu_mosi"}, range(2))
    study.n_test = n_test
    study.runs("uniform", [0.75, 0.76])
    figure = Figure(paper="mmpareto", name="table7", title="Table 7", kind="dots", table="table7")
    paper = study.paper.model_copy(update={"figures": {figure.name: figure}})
    drawn = DrawnFigure(study.results, paper, LayoutFigure(paper="mmpareto", figure="table7"), figure)
    assert list(drawn.frame["comparable"].unique()) == [n_test == 686]
    labels = picture_of(drawn).axes[0].get_legend_handles_labels()[1]
    assert [text for text in labels if "printed" in text] == [label]
