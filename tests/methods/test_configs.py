"""The methods' configuration files: every value in them is one that the method takes, and reaches a cell."""

from __future__ import annotations

import pytest

from counterpoise.components import component, components
from counterpoise.methods.mlb import MLB
from counterpoise.planning.configs import Configs
from counterpoise.planning.plan import make_plan
from counterpoise.protocol import Protocol


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


@pytest.fixture(scope="module")
def mlb(repository):
    return make_plan(repository, repository / "configs/benchmarks/mlb.yaml")


def training(plan, dataset: str, model: str, method: str):
    """The protocol of a cell, as far as MLB's configurations differ in it; with diagnostics it is no other."""
    cells = [c for c in plan.cells if (c.dataset, c.model, c.method) == (dataset, model, method)]
    protocols = [Protocol.model_validate(cell.config["protocol"]) for cell in cells]
    (found,) = {(p.schedule.warm_up_steps, p.optimiser.betas[0], p.patience, p.batch_size) for p in protocols}
    return found


RIVALS = ("agm", "mmcosine", "mslr", "ogm", "pmr")


@pytest.mark.parametrize("method", ["joint", "uniform", "unimodal", "mlb", *RIVALS])
def test_mlbs_trainings_are_those_of_its_configurations(mlb, method):
    """Warm-up, first beta, patience and batch of every method, from its repository in August 2024 (357b5ce)."""
    if method != "unimodal":
        waits = 300 if method == "mlb" else 100
        assert training(mlb, "crema_d_vavl", "resnet18_concat", method) == (780, 0.9, waits, 32)
        assert training(mlb, "ave", "resnet18_concat", method) == (1500, 0.9, 50, 32)
        assert training(mlb, "ucf101", "resnet18_concat", method) == (780, 0.9, 100, 32)
        steps, beta = (780, 0.9) if method in ("mlb", *RIVALS) else (1500, 0.95)
        assert training(mlb, "crema_d_vavl_conformer", "conformer_concat", method) == (steps, beta, waits, 8)
        return
    alone = [c for c in mlb.cells if (c.dataset, c.method) == ("crema_d_vavl_conformer", "unimodal")]
    for cell in alone:
        found = Protocol.model_validate(cell.config["protocol"])
        assert (found.schedule.warm_up_steps, found.optimiser.betas[0], found.patience) == (1500, 0.95, 300)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("crema_d_vavl/resnet18_concat", (0.5, 10.0)),
        ("crema_d_vavl/resnet18_mid_mlp", (0.5, 5.0)),
        ("crema_d_vavl/resnet18_film", (0.5, 20.0)),
        ("crema_d_vavl_conformer", (5.0, 2.0)),
        ("ave", (2.0, 2.0)),
        ("ave/resnet18_mid_mlp", (1.0, 2.0)),
    ],
)
def test_mlb_has_its_authors_tuned_values(repository, place, expected):
    method = MLB(**Configs(repository / "configs").method("mlb").datasets[place].settings)
    assert (method.alpha, method.beta_max) == expected
