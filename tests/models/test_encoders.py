"""Architectures against the libraries' own, and what must not move."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_models import build, build_network, model
from torch import nn
from torch.nn import functional
from torchvision.models import resnet18

from counterpoise.components import component
from counterpoise.models.conformer import _RelativeAttention, by_distance
from counterpoise.models.conv4 import normalised_convolution
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


class TestConformer:
    """Against its formulas written out number by number, and MLB's released sizes."""

    def attention(self) -> _RelativeAttention:
        torch.manual_seed(0)
        return _RelativeAttention(8, 2, dropout=0.0).double()

    def written_out(self, module: _RelativeAttention, x: torch.Tensor) -> torch.Tensor:
        """``((q_i + u) . k_j + (q_i + v) . W r_(i-j)) / sqrt(d)``, with r the sinusoids of the distance."""
        width, heads, each = 8, 2, 4
        out = torch.zeros_like(x)
        for b, sample in enumerate(module.norm(x)):
            query, key, value = module.query(sample), module.key(sample), module.value(sample)
            for i in range(len(sample)):
                mixed = torch.zeros(width, dtype=x.dtype)
                for h in range(heads):
                    part = slice(h * each, (h + 1) * each)
                    scores = []
                    for j in range(len(sample)):
                        rates = [10000 ** (-2 * (n // 2) / width) * (i - j) for n in range(width)]
                        waves = [math.sin(rate) if n % 2 == 0 else math.cos(rate) for n, rate in enumerate(rates)]
                        place = module.place(torch.tensor(waves, dtype=x.dtype))[part]
                        content = (query[i, part] + module.content_bias[h]) @ key[j, part]
                        scores.append((content + (query[i, part] + module.place_bias[h]) @ place) / math.sqrt(width))
                    weights = torch.stack(scores).softmax(dim=0)
                    mixed[part] = sum(w * v for w, v in zip(weights, value[:, part], strict=True))
                out[b, i] = module.out(mixed)
        return out

    @pytest.mark.parametrize("length", [1, 2, 5])
    def test_attention_is_that_of_transformer_xl(self, length):
        module, x = self.attention(), torch.randn(2, length, 8, dtype=torch.float64)
        torch.testing.assert_close(module(x), self.written_out(module, x), rtol=1e-6, atol=1e-6)

    def test_attention_knows_the_order_of_positions(self):
        module, x = self.attention(), torch.randn(2, 5, 8, dtype=torch.float64)
        order = torch.tensor([4, 0, 2, 1, 3])
        assert not torch.allclose(module(x)[:, order], module(x[:, order]), atol=1e-3)

    def test_samples_of_a_batch_do_not_see_each_other(self):
        module = encoder("conformer", {"width": 8, "heads": 2, "hidden": 8, "layers": 2, "kernel": 3}, (5, 6)).eval()
        x = torch.randn(3, 5, 6)
        torch.testing.assert_close(module(x)[:1], module(x[:1]))

    def test_a_score_is_found_by_its_distance(self):
        length = 4
        scores = torch.arange(length - 1, -length, -1).expand(2, length, -1)
        rows, columns = torch.meshgrid(torch.arange(length), torch.arange(length), indexing="ij")
        assert torch.equal(by_distance(scores), (rows - columns).expand(2, length, length))

    def test_its_size_is_that_of_mlbs_code(self):
        module = encoder("conformer", {}, (9, 1408))
        assert sum(p.numel() for p in module.refine.stack.layers[0].parameters()) == 6_323_200
        assert sum(p.numel() for p in module.parameters()) == 31_712_512
        assert module(torch.randn(2, 9, 1408)).shape == (2, 512)

    def test_linear_layers_start_xavier_uniform_with_biases_of_zero(self):
        block = encoder("conformer", {"layers": 1}, (9, 1408)).refine.stack.layers[0]
        layer = block.first[1]
        assert layer.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (512 + 2048)), rel=1e-3)
        assert not layer.bias.any()


def test_tf_has_the_size_and_the_tokens_of_mlbs_code():
    """12,914,182 there, with a token for a third modality that two never use."""
    fusion = component("fusion", "tf").load()().build({"audio": 512, "visual": 512}, 6)
    assert sum(p.numel() for p in fusion.parameters()) == 12_914_182 - 512
    tokens = torch.cat([fusion.class_token, *fusion.modality_tokens.values()])
    assert tokens.std().item() == pytest.approx(1.0, rel=0.1)
    assert fusion({"audio": torch.randn(2, 4, 512), "visual": torch.randn(2, 7, 512)}).shape == (2, 6)


def test_mid_mlp_has_one_bias_for_what_is_summed():
    fusion = component("fusion", "mid_mlp").load()().build({"audio": 512, "visual": 512}, 6)
    assert sum(p.numel() for p in fusion.parameters()) == 2 * 512 * 64 + 64 + 64 * 65 + 65 * 6


def test_segnet_undoes_its_pooling_as_torch_does():
    x = torch.randn(2, 3, 8, 12)
    pooled, places = functional.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(unpool(pooled, places), functional.max_unpool2d(pooled, places, 2))


def test_segnet_is_the_split_network_of_mtan_channel_by_channel():
    """A block's first convolution changes the channels, on the way down and on the way up; VGG-16's counts."""
    network = segnet_network(64)
    convolutions = [m for m in network.encoders["image"].modules() if isinstance(m, torch.nn.Conv2d)]
    down = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
    down += [(256, 512), (512, 512), (512, 512), (512, 512), (512, 512), (512, 512)]
    up = [(512, 512), (512, 512), (512, 512), (512, 256), (256, 256), (256, 256), (256, 128), (128, 128), (128, 128)]
    up += [(128, 64), (64, 64), (64, 64), (64, 64)]
    shapes = [(m.in_channels, m.out_channels) for m in convolutions]
    assert shapes[:13] == down
    backwards = [list(network.encoders["image"].up[number]) for number in (4, 3, 2, 1, 0)]
    found = [(m.in_channels, m.out_channels) for block in backwards for m in block if isinstance(m, torch.nn.Conv2d)]
    assert found == up
    assert sum(p.numel() for p in network.encoders["image"].parameters()) == 24_943_296


def test_segnet_and_its_heads_start_xavier_normal_with_biases_of_zero():
    network = segnet_network(16)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            fans = (module.in_channels + module.out_channels) * module.weight[0, 0].numel()
            if module.weight.numel() > 2000:
                assert module.weight.std().item() == pytest.approx((2 / fans) ** 0.5, rel=0.1)
            assert not module.bias.any()


def segnet_network(width: int):
    config = model({"image": ("segnet", {"width": width})}, None)
    return build_network(config, {"image": (3, 64, 32)}, {"segmentation": 13, "depth": 1}, 0)


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


class TestNormalisedConvolution:
    """The first convolution of 'conv4', with its norm in the kernel, against the two layers one by one."""

    @staticmethod
    def both(training: bool, memory_format: torch.memory_format = torch.contiguous_format):
        found = []
        for rewritten in (False, True):
            torch.manual_seed(0)
            norm, convolution = nn.BatchNorm2d(3).double(), nn.Conv2d(3, 4, 5, padding=2).double()
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
            norm.running_mean.normal_()
            norm.train(training)
            x = (3 + 2 * torch.randn(6, 3, 9, 9, dtype=torch.float64)).contiguous(memory_format=memory_format)
            last = memory_format == torch.channels_last
            out = (
                normalised_convolution(x, norm, convolution, channels_last=last) if rewritten else convolution(norm(x))
            )
            parameters = [*norm.parameters(), *convolution.parameters()]
            gradients = torch.autograd.grad((out * torch.randn_like(out)).sum(), parameters)
            found.append((out.detach(), *gradients, *norm.buffers()))
        return found

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
    def test_values_gradients_and_statistics_are_those_of_the_two_layers(self, training, memory_format):
        plain, rewritten = self.both(training, memory_format)
        for expected, found in zip(plain, rewritten, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)

    def test_statistics_are_bit_equal(self):
        plain, rewritten = self.both(training=True)
        for expected, found in zip(plain[-3:], rewritten[-3:], strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("wanted", [torch.contiguous_format, torch.channels_last])
def test_maps_of_one_channel_get_the_networks_memory_format(wanted):
    """A single channel has both formats; the maps made of it must not fall back to the slow one."""
    module = encoder("conv4", {"channels": 4, "width": 6}, (1, 16, 16)).to(memory_format=wanted)
    seen = []
    module.conv2.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    module(torch.randn(3, 1, 16, 16))
    assert seen[0].is_contiguous(memory_format=wanted)


def test_rectifying_after_pooling_is_bit_equal():
    """ResNet-18's stem and LeNet pool first."""
    results = []
    for pooled_first in (False, True):
        x = torch.randn(4, 8, 20, 20, generator=torch.Generator().manual_seed(0)).requires_grad_()
        pool = nn.MaxPool2d(3, stride=2, padding=1)
        out = pool(x).relu() if pooled_first else pool(x.relu())
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
        results.append((out, torch.autograd.grad((out * weights).sum(), x)[0]))
    (a, da), (b, db) = results
    assert torch.equal(a, b)
    assert torch.equal(da, db)
    assert bool((b == 0).any())
