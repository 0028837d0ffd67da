"""What a network says of its objectives is what their gradients do."""

from __future__ import annotations

import pytest
import torch
from tiny_models import ENCODERS, FUSIONS, build, build_network, model

from counterpoise.components import component, components
from counterpoise.errors import UserError
from counterpoise.models.build import presented_shape
from counterpoise.models.network import JOINT, digest_state

SEQUENCES = {"audio": "vit", "visual": "vit_frames"}
PAIRS = {name: {"audio": "resnet18", "visual": "resnet18_frames"} for name in FUSIONS} | {"bottleneck": SEQUENCES}
SLICED = [name for name in FUSIONS if component("fusion", name).info.slices]


def reached(network, inputs, objective):
    """The encoders that get a gradient other than zero from one objective."""
    network.zero_grad()
    network.predict(network.encode(inputs), (objective,))[objective].square().sum().backward()
    return tuple(
        name
        for name, module in network.encoders.items()
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    )


@pytest.mark.parametrize("fusion", FUSIONS)
def test_reach_is_where_gradients_go(fusion):
    network, inputs = build(fusion, **PAIRS[fusion])
    for objective in network.objectives:
        assert reached(network, inputs, objective) == network.reach(objective)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_parameter_outside_the_encoders_is_owned_by_one_objective_or_shared(fusion):
    network, inputs = build(fusion, **PAIRS[fusion])
    outside = {id(p) for name, p in network.named_parameters() if not name.startswith("encoders.")}
    owned = [id(p) for objective in network.objectives for p in network.own_parameters(objective)]
    shared = [id(p) for p in network.shared_parameters()]
    assert sorted(owned + shared) == sorted(outside)
    shares = dict.fromkeys(shared, 0)
    for objective in network.objectives:
        reached(network, inputs, objective)
        used = {id(p) for p in network.parameters() if p.grad is not None} & outside
        assert used <= {id(p) for p in network.own_parameters(objective)} | set(shared)
        for p in used & set(shared):
            shares[p] += 1
    assert all(count > 1 for count in shares.values())


@pytest.mark.parametrize("fusion", SLICED)
def test_contributions_add_up_to_the_joint_logits(fusion):
    network, inputs = build(fusion, **PAIRS[fusion])
    features = network.eval().encode(inputs)
    parts = network.fusion.contributions(features)
    assert set(parts) == set(network.modalities)
    torch.testing.assert_close(torch.stack(list(parts.values())).sum(dim=0), network.fusion(features))


@pytest.mark.parametrize("fusion", SLICED)
def test_a_modality_contributes_through_its_weight_slice_alone(fusion):
    network, inputs = build(fusion, **PAIRS[fusion])
    features = network.eval().encode(inputs)
    before = network.fusion.contributions(features)
    weight, columns = network.fusion.weight_slices()["audio"]
    with torch.no_grad():
        weight[:, columns] = 0
    after = network.fusion.contributions(features)
    assert torch.equal(after["visual"], before["visual"])
    assert not torch.allclose(after["audio"], before["audio"])
    assert (after["audio"] - after["audio"][:1]).abs().max() == 0


def test_every_fusion_is_tried_here():
    assert set(components("fusion")) - {"mmtm"} == set(FUSIONS)
    assert set(components("encoder")) - {"lenet", "segnet"} == {name for (name, _), _ in ENCODERS.values()}


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("fusion", ["concat", "tf"])
def test_any_encoder_goes_with_any_fusion(fusion, encoder):
    network, inputs = build(fusion, a=encoder, b="mlp")
    outputs = network.predict(network.encode(inputs), network.objectives)
    assert {name: tuple(logits.shape) for name, logits in outputs.items()} == {JOINT: (3, 5), "a": (3, 5), "b": (3, 5)}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_gradnorms_layer_is_the_last_with_a_weight(encoder):
    network, inputs = build("concat", a=encoder, b="mlp")
    module = network.encoders["a"]
    assert any(part is module.last_layer for part in module.modules())
    assert module.last_layer.weight.requires_grad
    module.last_layer.weight.register_hook(lambda gradient: gradient)  # it is a leaf that can be measured
    torch.autograd.grad(network.encode(inputs)["a"].sum(), module.last_layer.weight)


@pytest.mark.parametrize("encoder", [name for name, (part, _) in ENCODERS.items() if part[0] != "conv4"])
def test_unimodal_predictions_see_the_same_vector_with_and_without_positions(encoder):
    late, inputs = build("concat", a=encoder, b="mlp")
    tokens, _ = build("tf", a=encoder, b="mlp")
    tokens.encoders.load_state_dict(late.encoders.state_dict())
    vectors = tokens.eval().vectors(tokens.encode(inputs))
    torch.testing.assert_close(vectors["a"], late.eval().encode(inputs)["a"])


def test_bottlenecks_are_the_only_way_between_modalities():
    network, inputs = build("bottleneck", **SEQUENCES)
    network.eval()
    alone = network.encode(inputs, ("audio",))["audio"]
    other = inputs | {"visual": inputs["visual"] + 1}
    changed = network.encode(other)["audio"]
    assert not torch.allclose(network.encode(inputs)["audio"], changed)
    assert torch.equal(network.encode(other, ("audio",))["audio"], alone)


def test_one_seed_gives_one_network_and_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    digests = {seed: digest_state(build("tf", a="vit", b="mlp", seed=seed)[0].state_dict()) for seed in (0, 1)}
    again = digest_state(build("tf", a="vit", b="mlp")[0].state_dict())
    assert digests[0] == again != digests[1]
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("fusion", ["tf", "bottleneck"])
def test_features_of_different_widths_are_refused_where_they_must_agree(fusion):
    wide = ("vit", {"width": 64, "layers": 1, "heads": 2, "hidden": 32, "patch": 8})
    config = model({"a": ENCODERS["vit"][0], "b": wide}, (fusion, FUSIONS[fusion]))
    with pytest.raises(UserError, match=f"'{fusion}'.*one width"):
        build_network(config, {"a": (1, 16, 16), "b": (1, 16, 16)}, {"label": 5}, 0)


@pytest.mark.parametrize("fusion", ["film", "gated"])
def test_the_conditioning_modality_is_named(fusion):
    config = model({"a": ("mlp", {}), "b": ("mlp", {})}, (fusion, {"by": "c"}))
    with pytest.raises(UserError, match=r"no modality 'c'.*allowed: a, b"):
        build_network(config, {"a": (4,), "b": (4,)}, {"label": 5}, 0)


@pytest.mark.parametrize(
    ("encoder", "shape"), [("sequence", (4,)), ("conformer", (3, 8, 8)), ("wav2vec2", (1, 9, 9)), ("vit", (1, 4, 40))]
)
def test_an_input_of_the_wrong_shape_is_refused_by_name(encoder, shape):
    config = model({"a": ENCODERS[encoder][0]}, ("concat", {}))
    with pytest.raises(UserError, match=ENCODERS[encoder][0][0]):
        build_network(config, {"a": shape}, {"label": 5}, 0)


def test_a_model_sees_the_frames_and_the_size_that_are_presented():
    inputs = {"frames": 2, "size": [24, 32]}
    assert presented_shape((5, 3, 100, 90), inputs) == (2, 3, 24, 32)
    assert presented_shape((5, 3, 100, 90), {"frames": None, "size": None}) == (5, 3, 100, 90)
    assert presented_shape((1, 257, 188), {"frames": None, "size": [64, 64]}) == (1, 64, 64)
    assert presented_shape((73,), None) == (73,)
