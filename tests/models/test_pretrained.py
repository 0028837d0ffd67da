"""Pretrained weights are the published file or an error; a model never starts at random by accident."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_models import ENCODERS, FUSIONS, build_network, model, part
from torchaudio import pipelines
from torchvision.models import EfficientNet_B2_Weights, ViT_B_16_Weights
from torchvision.models.vision_transformer import VisionTransformer

from counterpoise import files
from counterpoise.errors import UserError
from counterpoise.models.pretrained import PretrainedWeights
from counterpoise.weights import WEIGHTS, weights_of

VIT = "vit_b_16_imagenet"
SHAPES = {"gray": (1, 32, 32), "colour": (3, 32, 32)}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Put a state into a folder under a published name, its digest declared as the published one."""

    def put(name, state, digest=None):
        path = tmp_path / WEIGHTS[name].file
        torch.save(state, path)
        digest = files.sha256_file(path) if digest is None else digest
        monkeypatch.setitem(WEIGHTS, name, dataclasses.replace(WEIGHTS[name], sha256=digest))
        return PretrainedWeights((tmp_path,))

    return put


def small_vit():
    torch.manual_seed(0)
    vit = VisionTransformer(image_size=32, patch_size=16, num_layers=4, num_heads=2, hidden_dim=32, mlp_dim=32)
    return vit.eval()


def mbt(**given):
    vit = {"width": 32, "layers": 2, "heads": 2, "hidden": 32, "patch": 16, "weights": VIT}
    bottleneck = {"heads": 2, "hidden": 32, "first_layer": 2, "weights": VIT, **given}
    return model({"gray": ("vit", vit), "colour": ("vit", vit)}, ("bottleneck", bottleneck), init="xavier")


def test_single_modal_layers_are_the_first_of_torchvisions_transformer(published):
    theirs = small_vit()
    network = build_network(mbt(), SHAPES, {"label": 5}, 0, published(VIT, theirs.state_dict())).eval()
    x = torch.randn(2, 3, 32, 32)
    tokens = torch.cat([theirs.class_token.expand(2, -1, -1), theirs._process_input(x)], dim=1)
    tokens = tokens + theirs.encoder.pos_embedding
    for layer in theirs.encoder.layers[:2]:
        tokens = layer(tokens)
    torch.testing.assert_close(network.encoders["colour"](x), tokens)


def test_a_gray_image_counts_as_three_equal_channels(published):
    weights = published(VIT, small_vit().state_dict())
    network = build_network(mbt(), SHAPES, {"label": 5}, 0, weights).eval()
    x = torch.randn(2, 1, 32, 32)
    gray, colour = network.encoders["gray"], network.encoders["colour"]
    torch.testing.assert_close(gray(x), colour(x.expand(-1, 3, -1, -1)))


def test_cross_modal_layers_go_on_where_the_single_modal_ones_stop(published):
    theirs = small_vit()
    network = build_network(mbt(), SHAPES, {"label": 5}, 0, published(VIT, theirs.state_dict()))
    for branch in network.fusion.branches.values():
        for ours, other in zip(branch.layers, theirs.encoder.layers[2:], strict=True):
            assert torch.equal(ours.mlp[0].weight, other.mlp[0].weight)
        assert torch.equal(branch.norm.weight, theirs.encoder.ln.weight)


def test_positions_are_interpolated_to_another_grid(published):
    vit = {"width": 32, "layers": 2, "heads": 2, "hidden": 32, "patch": 16, "weights": VIT}
    config = model({"a": ("vit", vit)}, ("concat", {}))
    weights = published(VIT, small_vit().state_dict())
    module = build_network(config, {"a": (1, 48, 80)}, {"label": 5}, 0, weights).encoders["a"]
    assert module.place.shape == (1, 1 + 3 * 5, 32)
    assert torch.isfinite(module.place).all()
    corner = small_vit().encoder.pos_embedding[:, 1]
    torch.testing.assert_close(module.place[:, 1], corner)


def test_missing_weights_are_an_error_that_says_where_to_put_them(tmp_path):
    with pytest.raises(UserError) as error:
        build_network(mbt(), SHAPES, {"label": 5}, 0, PretrainedWeights((tmp_path / "here",)))
    for said in (str(tmp_path / "here"), WEIGHTS[VIT].file, WEIGHTS[VIT].url):
        assert said in str(error.value)


def test_another_file_under_the_published_name_is_refused(published):
    weights = published(VIT, small_vit().state_dict(), digest="0" * 64)
    with pytest.raises(UserError, match="sha256"):
        build_network(mbt(), SHAPES, {"label": 5}, 0, weights)


def test_weights_without_a_published_digest_need_one_beside_them(published, tmp_path):
    weights = published(VIT, small_vit().state_dict(), digest="")
    with pytest.raises(UserError, match=r"\.sha256"):
        weights.state(VIT)
    path = tmp_path / WEIGHTS[VIT].file
    path.with_name(f"{path.name}.sha256").write_text(f"{files.sha256_file(path)}  {path.name}\n")
    assert weights.state(VIT)
    path.with_name(f"{path.name}.sha256").write_text("0" * 64)
    with pytest.raises(UserError, match="sha256"):
        weights.state(VIT)


def test_weights_of_other_sizes_are_refused_naming_what_differs(published):
    weights = published(VIT, small_vit().state_dict())
    wide = {"width": 64, "layers": 2, "heads": 2, "hidden": 32, "patch": 16, "weights": VIT}
    config = model({"a": ("vit", wide)}, ("concat", {}))
    with pytest.raises(UserError, match=r"class_token.*\(1, 1, 32\).*\(1, 1, 64\)"):
        build_network(config, {"a": (3, 32, 32)}, {"label": 5}, 0, weights)


def test_wav2vec2_and_efficientnet_take_over_what_they_keep(published):
    (wav, _), (_, wav_shape) = ENCODERS["wav2vec2"][0], ENCODERS["wav2vec2"]
    longer = model({"a": (wav, {**ENCODERS["wav2vec2"][0][1], "kept_layers": 4})}, ("concat", FUSIONS["concat"]))
    source = build_network(longer, {"a": wav_shape}, {"label": 5}, 3).encoders["a"].heard
    weights = published("wav2vec2_base", source.state_dict())
    config = model({"a": (wav, {**ENCODERS["wav2vec2"][0][1], "weights": "wav2vec2_base"})}, ("concat", {}))
    found = build_network(config, {"a": wav_shape}, {"label": 5}, 0, weights).encoders["a"].heard
    for key, value in found.state_dict().items():
        assert torch.equal(value, source.state_dict()[key]), key

    (name, settings), shape = ENCODERS["efficientnet"]
    config = model({"a": (name, settings)}, ("concat", {}))
    trunk = build_network(config, {"a": shape}, {"label": 5}, 3).encoders["a"].described
    state = {f"features.{key}": value for key, value in trunk.state_dict().items()}
    weights = published("efficientnet_b2_imagenet", state | {"classifier.1.weight": torch.zeros(2)})
    config = model({"a": (name, {**settings, "weights": "efficientnet_b2_imagenet"})}, ("concat", {}))
    found = build_network(config, {"a": shape}, {"label": 5}, 0, weights).encoders["a"].described
    assert all(torch.equal(value, trunk.state_dict()[key]) for key, value in found.state_dict().items())


def test_addresses_and_digests_are_the_libraries_own():
    assert WEIGHTS[VIT].url == ViT_B_16_Weights.IMAGENET1K_V1.url
    assert WEIGHTS["efficientnet_b2_imagenet"].url == EfficientNet_B2_Weights.IMAGENET1K_V1.url
    assert WEIGHTS["wav2vec2_large_lv60k"].file == pipelines.WAV2VEC2_LARGE_LV60K._path
    assert WEIGHTS["wav2vec2_base"].file == pipelines.WAV2VEC2_BASE._path
    for weights in WEIGHTS.values():
        assert weights.url.endswith(weights.file)
        assert f"-{weights.sha256}." in weights.file or not weights.sha256


def test_planning_knows_which_files_a_model_needs():
    assert [weights.name for weights in weights_of(mbt())] == [VIT]
    plain = {"encoders": {"a": part("encoder", "mlp", {})}, "fusion": None}
    assert weights_of(plain) == []
