"""The methods' configuration files: every value in them is one that the method takes, and reaches a cell."""

from __future__ import annotations

import pytest

from counterpoise.components import component, components
from counterpoise.methods.mlb import MLB
from counterpoise.planning.configs import Configs


def files(repository):
    return sorted(path.stem for path in (repository / "configs/methods").glob("*.yaml"))


def layers(file):
    """Every part of a method's file that holds settings."""
    yield "", file
    for group in ("variants", "datasets"):
        for name, part in getattr(file, group).items():
            yield f"{group}.{name}", part


def test_every_file_is_that_of_a_method(repository):
    assert set(files(repository)) <= set(components("method"))


def test_every_setting_is_one_that_the_method_takes(repository):
    configs = Configs(repository / "configs")
    for name in files(repository):
        for place, part in layers(configs.method(name)):
            component("method", name).resolve(part.settings, f"{name}: {place}")


def test_every_variant_with_a_protocol_of_its_own_is_declared(repository):
    configs = Configs(repository / "configs")
    for name in files(repository):
        assert set(configs.method(name).variants) <= set(component("method", name).info.variants)


@pytest.mark.parametrize(
    ("name", "variant", "protocol"),
    [
        ("uniform", "encoder_lr", {"optimiser": {"encoder_lr_factor": 1.5}}),
        ("mlb", "sgd", {"optimiser": {"name": "sgd", "momentum": 0.9}}),
    ],
)
def test_ablations_differ_by_their_protocol(repository, name, variant, protocol):
    assert Configs(repository / "configs").method(name).variants[variant].protocol == protocol


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("crema_d_vavl/resnet18_concat", (0.5, 10.0)),
        ("crema_d_vavl/resnet18_mid_mlp", (0.5, 5.0)),
        ("crema_d_vavl/resnet18_film", (0.5, 20.0)),
        ("crema_d_vavl_conformer", (5.0, 2.0)),
        ("ave", (2.0, 2.0)),
    ],
)
def test_mlb_has_its_authors_tuned_values(repository, place, expected):
    method = MLB(**Configs(repository / "configs").method("mlb").datasets[place].settings)
    assert (method.alpha, method.beta_max) == expected
