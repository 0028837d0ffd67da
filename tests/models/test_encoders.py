"""Architectures against the libraries' own, and what must not move."""

from __future__ import annotations

import pytest
import torch
from tiny_models import build, model
from torch.nn import functional
from torchvision.models import resnet18

from counterpoise.models.build import build_network
from counterpoise.models.segnet import unpool


def encoder(name, settings, shape, **rest):
    config = model({"a": (name, settings)}, ("concat", {}), **rest)
    return build_network(config, {"a": shape}, {"label": 5}, 0).encoders["a"]


def test_resnet_is_torchvisions():
    theirs = resnet18().eval()
    ours = encoder("resnet18", {}, (3, 64, 64)).eval()
    state = {key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")}
    ours.load_state_dict(state)
    theirs.fc = torch.nn.Identity()
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(x), theirs(x))


def test_frames_are_averaged_over_time():
    module = encoder("resnet18", {"width": 32}, (4, 3, 32, 32)).eval()
    x = torch.randn(2, 4, 3, 32, 32)
    each = torch.stack([module(x[:, frame]) for frame in range(4)])
    torch.testing.assert_close(module(x), each.mean(dim=0))


def test_spectrograms_have_one_channel():
    assert encoder("resnet18", {"width": 32}, (1, 257, 188)).conv1.in_channels == 1


def test_released_initialisation_spreads_the_weights_of_batch_norm():
    settings = {"width": 64, "norm_init": "normal"}
    weights = encoder("resnet18", settings, (1, 32, 32)).layer4[1].bn2.weight
    assert weights.std() > 0
    assert (weights - 1).abs().max() < 0.2


def test_a_frozen_descriptor_does_not_move_in_training():
    network, inputs = build("concat", a="efficientnet", b="mlp")
    frozen = {k: v.clone() for k, v in network.encoders["a"].described.state_dict().items()}
    network.train()
    network.encode(inputs)["a"].sum().backward()
    assert all(torch.equal(frozen[k], v) for k, v in network.encoders["a"].described.state_dict().items())
    assert all(p.grad is None for p in network.encoders["a"].described.parameters())


def test_wav2vec2s_convolutions_are_frozen_and_its_transformer_is_not():
    network, inputs = build("concat", a="wav2vec2", b="mlp")
    network.encode(inputs)["a"].sum().backward()
    heard = network.encoders["a"].heard
    assert all(p.grad is None for p in heard.feature_extractor.parameters())
    assert all(p.grad is not None for p in heard.encoder.transformer.layers.parameters())


def test_wav2vec2_keeps_the_layers_that_are_asked_for():
    settings = {"architecture": "tiny", "kept_layers": 3, "width": 16, "heads": 2, "hidden": 16, "layers": 1}
    module = encoder("wav2vec2_conformer", settings, (4000,))
    assert len(module.heard.encoder.transformer.layers) == 3


def test_loudness_does_not_matter_to_wav2vec2():
    network, inputs = build("concat", a="wav2vec2", b="mlp")
    network.eval()
    louder = network.encode(inputs | {"a": 3 * inputs["a"] + 0.5})["a"]
    torch.testing.assert_close(louder, network.encode(inputs)["a"], rtol=1e-3, atol=1e-4)


def test_a_transformer_knows_where_and_when_a_patch_was():
    module = encoder("vit", {"width": 16, "layers": 1, "heads": 2, "hidden": 16, "patch": 8}, (2, 1, 16, 16))
    with torch.no_grad():
        module.time.normal_()
    x = torch.randn(1, 2, 1, 16, 16)
    assert not torch.allclose(module(x), module(x.flip(1)))
    assert not torch.allclose(module(x), module(x.roll(8, dims=-1)))


def test_segnet_undoes_its_pooling_as_torch_does():
    x = torch.randn(2, 3, 8, 12)
    pooled, places = functional.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(unpool(pooled, places), functional.max_unpool2d(pooled, places, 2))


def test_segnet_has_a_head_for_every_task_and_an_output_for_every_pixel():
    config = model({"image": ("segnet", {"width": 4})}, None)
    network = build_network(config, {"image": (3, 64, 32)}, {"segmentation": 13, "depth": 1}, 0)
    outputs = network.predict(network.encode({"image": torch.randn(2, 3, 64, 32)}), network.objectives)
    shapes = {name: tuple(values.shape) for name, values in outputs.items()}
    assert shapes == {"segmentation": (2, 13, 64, 32), "depth": (2, 1, 64, 32)}
    assert network.reach("depth") == network.reach("segmentation") == ("image",)


@pytest.mark.parametrize("init", ["torch", "xavier"])
def test_every_encoder_can_be_initialised(init):
    for name in ("resnet18", "vit", "conformer", "wav2vec2", "efficientnet", "mlp", "sequence"):
        network, inputs = build("concat", init=init, a=name)
        assert torch.isfinite(network.encode(inputs)["a"]).all()
