"""Summation as a fusion: methods that ask for slices get them."""

from __future__ import annotations

import pytest
import torch

from counterpoise.testing.toy import Toy, make_method

TOY = Toy(fusion="sum", dtype=torch.float64)


def test_contributions_add_up_to_the_logits():
    network = TOY.network()
    features = network.encode(TOY.batch()[0])
    parts = network.fusion.contributions(features)
    assert torch.allclose(sum(parts.values()), network.fusion(features))


def test_slices_are_the_weights_that_the_features_meet():
    network = TOY.network()
    features = network.encode(TOY.batch()[0])
    biases = {name: layer.bias for name, layer in network.fusion.linear.items()}
    for name, (weight, columns) in network.fusion.weight_slices().items():
        expected = features[name] @ weight[:, columns].T + biases[name]
        assert torch.allclose(network.fusion.contributions(features)[name], expected)


@pytest.mark.parametrize("name", ["ogm", "mlb", "mslr", "mmcosine", "greedy", "agm", "mmpareto"])
def test_methods_train_on_it(name):
    toy = Toy(fusion="sum")
    trainer = toy.trainer(make_method(name, toy=toy), epochs=2)
    assert trainer.run().diverged == ""
