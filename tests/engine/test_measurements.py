"""Measurements on trained weights: gradients at fixed parameters, and the loss around a solution."""

from __future__ import annotations

import math

import pytest
import torch

from counterpoise.components import component, components
from counterpoise.data.prepare import prepare_dataset
from counterpoise.data.prepared import PreparedData
from counterpoise.engine.measurements.gradients import Gradients, _Moments
from counterpoise.engine.measurements.landscape import Landscape, random_direction
from counterpoise.engine.splits import open_splits
from counterpoise.models.build import build_network
from counterpoise.protocol import Protocol

MODEL = {
    "encoders": {
        "audio": {"component": "mlp", "settings": {"width": 8, "layers": 2, "dropout": 0.0}},
        "visual": {"component": "resnet18", "settings": {"width": 16, "norm_init": "ones"}},
    },
    "fusion": {"component": "concat", "settings": {}},
    "head": {"hidden": None},
    "init": "torch",
    "inputs": {},
}
SHAPES = {"audio": (1, 6, 6), "visual": (2, 3, 12, 12)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    settings = {"train": 48, "val": 0, "test": 24, "audio": [1, 6, 6], "visual": [2, 3, 12, 12]}
    prepared = prepare_dataset("miniature_clips", settings, folder, folder / "clips.0a", "0a")
    protocol = Protocol.model_validate({"optimiser": {"lr": 0.1}, "epochs": 1, "batch_size": 12})
    return open_splits(MODEL, protocol, PreparedData.open(prepared.path), torch.device("cpu"))


@pytest.fixture
def network():
    return build_network(MODEL, SHAPES, {"label": 6}, 0, load=lambda kind, name: component(kind, name).load())


def state(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(before, after) -> bool:
    return before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)


@pytest.mark.parametrize("k", [1.0, 3.0, 6.25])
def test_k_is_the_ratio_of_the_traces_of_the_covariances(k):
    random = torch.Generator().manual_seed(0)
    noise = [torch.randn(5, generator=random, dtype=torch.float64) for _ in range(40)]
    moments = _Moments()
    for draw in noise:
        # Means that differ must not enter; the noise of the second is sqrt(k) times that of the first.
        moments.add([[3.0 + draw[:2], draw[2:]], [math.sqrt(k) * draw[:2] - 7.0, math.sqrt(k) * draw[2:]]])
    assert moments.ratio() == pytest.approx(k)


def test_one_batch_has_no_covariance():
    moments = _Moments()
    moments.add([[torch.ones(2)], [torch.ones(2)]])
    assert math.isnan(moments.ratio())


def test_gradients_are_measured_for_every_encoder_and_whole_batch_and_change_nothing(network, data):
    before = state(network)
    rows = list(Gradients().measure(network, data, 12, 0))
    assert same(before, network.state_dict())
    assert [(row["encoder"], row["batch"]) for row in rows] == [
        (name, batch) for name in ("audio", "visual") for batch in range(4)
    ]
    assert all(row["multimodal"] > 0 and row["unimodal"] > 0 for row in rows)
    assert len({row["k"] for row in rows}) == 2
    assert rows == list(Gradients().measure(network, data, 12, 0))


def test_a_measured_norm_is_that_of_autograd(network, data):
    (row, *_) = Gradients().measure(network, data, 48, 0)
    network.train()
    (inputs, targets, _), *_ = data.train_plain.batches(data.train_order, 48)
    outputs = network.predict(network.encode(inputs), ("joint", "audio"))
    for objective, name in (("joint", "multimodal"), ("audio", "unimodal")):
        loss = network.loss(objective, outputs[objective], targets["label"])
        assert row[f"{name}_loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
        found = torch.autograd.grad(loss, list(network.encoders["audio"].parameters()), retain_graph=True)
        assert row[name] == pytest.approx(float(torch.cat([g.flatten() for g in found]).norm()), rel=1e-4)


def test_a_direction_has_the_norm_of_every_filter_and_leaves_vectors():
    random = torch.Generator().manual_seed(1)
    filters, bias = torch.randn(4, 3, 5, 5, generator=random), torch.randn(4, generator=random)
    move, still = random_direction([filters, bias], 0, 0)
    assert torch.allclose(move.flatten(1).norm(dim=1), filters.flatten(1).norm(dim=1), rtol=1e-4)
    assert not still.any()
    assert not torch.equal(move, random_direction([filters, bias], 0, 1)[0])


def test_a_landscape_passes_through_the_solution_and_leaves_it(network, data):
    before = state(network)
    rows = list(Landscape(directions=2, points=5).measure(network, data, 12, 0))
    assert same(before, network.state_dict())
    assert [row["step"] for row in rows] == [-1.0, -0.5, 0.0, 0.5, 1.0] * 2
    centres = {(row["loss"], row["accuracy"]) for row in rows if row["step"] == 0}
    assert len(centres) == 1
    ((loss, _),) = centres
    near = [[r["loss"] - loss for r in rows if r["direction"] == d and abs(r["step"]) <= 0.5] for d in (0, 1)]
    expected = sum(max(0.0, *rises) / (1 + loss) for rises in near) / 2
    assert [row["sharpness"] for row in rows] == pytest.approx([expected] * len(rows))


def test_measurements_are_found_by_their_names():
    assert set(components("measurement")) == {"gradients", "landscape"}
    assert component("measurement", "landscape").load() is Landscape


def test_a_measurement_takes_as_many_mini_batches_as_it_is_told(network, data):
    rows = list(Gradients(batches=2).measure(network, data, 12, 0))
    assert {row["batch"] for row in rows} == {0, 1}


def test_sharpness_looks_as_far_as_its_radius(network, data):
    near, far = (
        list(Landscape(directions=1, points=5, radius=radius).measure(network, data, 12, 0)) for radius in (0.1, 1.0)
    )
    assert [row["loss"] for row in near] == [row["loss"] for row in far]
    (centre,) = (row["loss"] for row in near if row["step"] == 0)
    assert near[0]["sharpness"] == pytest.approx(0.0, abs=1e-6)
    assert far[0]["sharpness"] == pytest.approx(max(row["loss"] - centre for row in far) / (1 + centre))
