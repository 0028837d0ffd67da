"""What is counted of a run on the meta device is what the run would compute, keep and move."""

from __future__ import annotations

import csv
import math

import pytest
from scenes import SETTINGS

from counterpoise.components import component
from counterpoise.planning.forms import Form, form_of
from counterpoise.planning.plan import make_plan
from counterpoise.runs.count import count_run
from counterpoise.runs.devices import DEVICES, Device, device_named

FLOAT = 4
MLPS = ({"left": ("mlp", {}), "right": ("mlp", {})}, ("concat", {}), {"left": (100,), "right": (60,)}, {"label": 5})
WIDTH = 128


def part(kind, name, settings):
    return {"component": name, "settings": component(kind, name).resolve(settings, name)}


def count(method="uniform", scene=MLPS, batch=16, optimiser="sgd", epochs=1, samples=None, **settings):
    """Count a run of a method on networks of the measured scenes, or on two perceptrons."""
    encoders, fusion, shapes, classes = scene
    chosen = component("method", method)
    settings = chosen.resolve(chosen.info.variants["published"].get("settings", {}) | settings, method)
    config = {
        "model": {
            "encoders": {name: part("encoder", *made) for name, made in encoders.items()},
            "inputs": {},
            "fusion": None if fusion is None else part("fusion", *fusion),
            "head": {"hidden": None},
            "init": "torch",
        },
        "dataset": {"component": "made", "settings": {}},
        "method": {"name": method, "settings": settings},
        "protocol": {
            "optimiser": {"name": optimiser, "lr": 0.1},
            "epochs": epochs,
            "batch_size": batch,
            "validation_fraction": 0.0,
        },
    }
    modalities = {name: {"shape": list(shape), "dtype": "float32"} for name, shape in shapes.items()}
    targets = {name: {"classes": number} for name, number in classes.items()}
    return count_run(config, Form(samples or {"train": 640, "val": 64, "test": 100}, modalities, targets))


def products(batch):
    """Return the matrix products of one forward pass of the perceptrons: those of encoders, and of the heads."""
    encoders = sum(2 * batch * WIDTH * (inputs + WIDTH) for inputs in (100, 60))
    heads = 2 * batch * 5 * (2 * WIDTH + WIDTH + WIDTH)
    return encoders, heads


def test_arithmetic_is_what_a_hand_count_gives():
    encoders, heads = products(batch=16)
    # Backward: gradients of weights and of inputs, less those of the data, which nobody wants.
    not_wanted = sum(2 * 16 * WIDTH * inputs for inputs in (100, 60))
    assert count("uniform").step.operations == 3 * (encoders + heads) - not_wanted


def test_a_method_that_wants_two_gradients_pulls_encoders_back_twice():
    encoders, _ = products(batch=16)
    once_more = 2 * encoders - sum(2 * 16 * WIDTH * inputs for inputs in (100, 60))
    more = count("mmpareto").step.operations - count("uniform").step.operations
    assert more == pytest.approx(once_more, rel=1e-3), "but for the inner products of gradients"


def test_memory_holds_parameters_their_gradients_and_the_optimisers_state():
    parameters = FLOAT * (sum(WIDTH * (inputs + 1) + WIDTH * (WIDTH + 1) for inputs in (100, 60)))
    parameters += FLOAT * 5 * (2 * WIDTH + 1 + 2 * (WIDTH + 1))
    with_momentum, adam = count(batch=1).memory, count(batch=1, optimiser="adam").memory
    assert 3 * parameters < with_momentum < 4.2 * parameters
    assert adam - with_momentum >= parameters, "Adam keeps two moments"


def test_memory_holds_a_gradient_for_each_objective():
    encoder = FLOAT * (WIDTH * 101 + WIDTH * (WIDTH + 1))
    assert count("conventional_pareto", batch=1).memory - count("uniform", batch=1).memory >= encoder


def test_activations_grow_with_the_batch_and_nothing_else_does():
    small, middle, large = (count(batch=size, samples={"train": 4000, "test": 1}).memory for size in (1000, 2000, 3000))
    assert large - middle == pytest.approx(middle - small, rel=1e-3)
    least = FLOAT * 1000 * (100 + 60 + 4 * WIDTH)  # inputs, and what each ReLU keeps
    assert middle - small >= least


def test_epochs_steps_and_evaluations_are_all_of_them():
    one, two = (count(epochs=epochs) for epochs in (1, 2))
    assert two.run.operations == 2 * one.run.operations
    steps, encoders_and_heads = 640 / 16, sum(products(batch=1))
    assert one.run.operations == pytest.approx(steps * one.step.operations + 164 * encoders_and_heads)


def test_what_a_method_trains_between_epochs_counts():
    """G-Blending trains a branch for each objective, over as many epochs as lie between two estimations."""
    online = count("g_blending", epochs=20, super_epoch=10)
    assert 2.5 < online.run.operations / count("uniform", epochs=20).run.operations < 3.5


def test_a_device_takes_the_time_of_arithmetic_traffic_and_calls():
    work = count().step
    device = Device(title="", operations={"fp32": 1e9}, bandwidth=1e8, call=1e-3, memory=None, source="")
    expected = work.operations / 1e9 + work.moved / 1e8 + work.calls / 1e3
    assert work.seconds(device, "fp32") == pytest.approx(expected)


def test_splits_stay_on_a_device_that_has_room_for_them():
    counted = count()
    assert counted.memory_on(device_named("a100")) == counted.memory + sum(counted.resident)
    assert counted.memory_on(device_named("cpu-core")) == counted.memory


SCENES = {"cg_mnist": 64, "multi_mnist": 256, "three_modalities": 64, "mbt": 2, "resnet18": 4}
METHODS = {"joint", "mmpareto", "conventional_pareto", "gradnorm", "agm", "mlb"}


def test_a_core_of_a_cpu_takes_what_was_measured_within_a_factor_of_two(repository):
    with (repository / "results/performance/steps.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    compared = 0
    for name, batch in SCENES.items():
        group = f"{name}, batch {batch}, contiguous"
        for row in rows:
            if row["where"] == group and row["name"] in METHODS:
                work = count(row["name"], SETTINGS[name], batch, samples={"train": 640, "test": 1}).step
                ratio = work.seconds(DEVICES["cpu-core"], "fp32") / float(row["seconds"])
                assert 0.5 < ratio < 2, f"{row['name']} on {name}: {ratio:.2f} of the time that was measured"
                compared += 1
    assert compared > 10


@pytest.fixture(scope="module")
def plan(repository):
    return make_plan(repository, repository / "configs/benchmarks/mmpareto.yaml")


class TestForms:
    def test_every_dataset_of_the_papers_declares_what_preparing_it_gives(self, plan, repository, tmp_path):
        for name in plan.resolver.configs.names("datasets"):
            declared = plan.resolver.configs.dataset(name).expected
            assert declared is not None, name
            assert {"train", "test"} <= set(declared.samples), name

    def test_a_change_of_settings_has_no_declared_form(self, plan, tmp_path):
        cell = next(cell for cell in plan.cells if cell.dataset == "crema_d")
        flip = next(flip.cell for flip in plan.flips(cell) if flip.cell and flip.cell.data.key != cell.data.key)
        assert form_of(tmp_path, plan.resolver.configs, cell.data).samples == {"train": 6698, "test": 744}
        assert form_of(tmp_path, plan.resolver.configs, flip.data) is None

    def test_arrays_take_their_samples_times_their_shapes(self):
        form = Form({"train": 3, "test": 2}, {"a": {"shape": [4, 5], "dtype": "float32"}}, {"label": {"classes": 2}})
        assert form.nbytes == 5 * (math.prod((4, 5)) * 4 + 8)
