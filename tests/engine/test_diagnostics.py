"""What the recorder notes is what happened, and noting it changes nothing."""

from __future__ import annotations

import math
import time

import pytest
import torch
from torch.nn import functional

from counterpoise.components import components
from counterpoise.engine.diagnostics import Recorder, first_below, is_time
from counterpoise.engine.step import initial_state, step_function
from counterpoise.models.network import digest_state
from counterpoise.testing.toy import Toy, make_method

TOY = Toy(dtype=torch.float64)


def run(name: str, variant: str = "published", record: bool = True, steps: int = 3, toy: Toy = TOY):
    """Some steps of a method; the network, the rows, and the network before each step."""
    method, network = make_method(name, variant, toy), toy.network()
    recorder = Recorder(network) if record else None
    step, state = step_function(method, network, recorder=recorder), initial_state(method, network)
    if name == "pmr":
        state |= {f"prototypes/{key}": torch.randn(3, 6).double() for key in network.modalities}
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05)
    for number in range(steps):
        inputs, targets = toy.batch(seed=number)
        _, state = step(inputs, targets, state, 0, torch.Generator().manual_seed(number))
        if recorder:
            recorder.before_update()
        optimiser.step()
        if recorder:
            recorder.after_update()
    return network, recorder.flush() if recorder else []


def autograd(network, objective: str, encoder: str, batch) -> torch.Tensor:
    inputs, targets = batch
    logits = network.predict(network.encode(inputs), (objective,))[objective]
    loss = functional.cross_entropy(logits, targets["class"])
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.encoders[encoder].parameters()))])


@pytest.mark.parametrize("name", ["mmpareto", "conventional_pareto", "metabalance", "uniform", "mlb"])
def test_angles_and_norms_are_those_of_autograd(name):
    _, rows = run(name, steps=1)
    network = TOY.network()
    batch = TOY.batch(seed=0)
    for encoder in ("left", "right"):
        g_m, g_u = (autograd(network, objective, encoder, batch) for objective in ("joint", encoder))
        row = rows[0]
        assert row[f"norm.joint.{encoder}"] == pytest.approx(float(g_m.norm()))
        assert row[f"norm.{encoder}.{encoder}"] == pytest.approx(float(g_u.norm()))
        cosine = float(functional.cosine_similarity(g_m, g_u, dim=0))
        assert row[f"cosine.joint.{encoder}.{encoder}"] == pytest.approx(cosine)
        # The norm of the smallest convex combination, by a fine search.
        shares = torch.linspace(0, 1, 20001, dtype=torch.float64)[:, None]
        gramian = torch.stack((g_m, g_u)) @ torch.stack((g_m, g_u)).T
        both = torch.cat((shares, 1 - shares), dim=1)
        smallest = float(torch.einsum("si,ij,sj->s", both, gramian, both).min().sqrt())
        assert row[f"min_norm.{encoder}"] == pytest.approx(smallest, rel=1e-6)


def test_weights_and_combined_norm_are_the_methods():
    _, rows = run("conventional_pareto", steps=1)
    row = rows[0]
    assert row["weight.joint.left"] + row["weight.left.left"] == pytest.approx(2.0)
    assert row["combined_norm.left"] == pytest.approx(2 * row["min_norm.left"])


@pytest.mark.parametrize("name", ["uniform", "mlb"])
def test_the_norm_of_what_the_optimiser_gets_is_that_of_the_scaled_sum(name):
    _, rows = run(name, steps=1)
    network, batch = TOY.network(), TOY.batch(seed=0)
    for encoder in ("left", "right"):
        total = sum(autograd(network, objective, encoder, batch) for objective in ("joint", encoder))
        factor = rows[0].get(f"coefficient.{encoder}", 1.0)
        assert rows[0][f"combined_norm.{encoder}"] == pytest.approx(factor * float(total.norm()))


@pytest.mark.parametrize("name", sorted(components("method")))
def test_the_losses_of_the_batch_are_noted(name):
    _, rows = run(name, steps=1)
    network = TOY.network().train()
    inputs, targets = TOY.batch(seed=0)
    losses = {key.removeprefix("loss.") for key in rows[0] if key.startswith("loss.")}
    assert losses == set(make_method(name).objectives(network))
    for objective in losses & ({"joint"} if name != "mmcosine" else set()):
        logits = network.predict(network.encode(inputs), (objective,))[objective]
        loss = functional.cross_entropy(logits, targets["class"]).item()
        assert rows[0][f"loss.{objective}"] == pytest.approx(loss)


def test_the_time_of_a_step_holds_the_integration_and_not_the_recording():
    network, method = TOY.network(), make_method("mmpareto")
    recorder = Recorder(network)
    step, state = step_function(method, network, recorder=recorder), initial_state(method, network)
    slow = recorder._gradients
    recorder._gradients = lambda *found: (time.sleep(0.5), slow(*found))
    step(*TOY.batch(), state, 0, torch.Generator())
    recorder.before_update()
    recorder.after_update()
    (row,) = recorder.flush()
    integration = sum(row[f"integration_seconds.{encoder}"] for encoder in ("left", "right"))
    assert integration < row["step_seconds"] < 0.5
    assert {name for name in row if is_time(name)} == {
        "step_seconds",
        "integration_seconds.left",
        "integration_seconds.right",
    }
    assert "recording" not in row


def test_a_frozen_encoder_has_no_columns_of_gradients():
    network, method = TOY.network(), make_method("uniform")
    network.encoders["left"].requires_grad_(False)
    recorder = Recorder(network)
    step_function(method, network, recorder=recorder)(*TOY.batch(), {}, 0, torch.Generator())
    recorder.before_update()
    recorder.after_update()
    (row,) = recorder.flush()
    assert {"norm.joint.right", "loss.left"} <= set(row)
    assert not any(key.endswith(".left") and not key.startswith("loss") for key in row)


def test_update_norm_is_how_far_the_encoder_moved():
    network, rows = run("uniform", steps=1)
    before = TOY.network()
    for encoder in ("left", "right"):
        pairs = zip(network.encoders[encoder].parameters(), before.encoders[encoder].parameters(), strict=True)
        moved = math.sqrt(sum(float((p - q).detach().square().sum()) for p, q in pairs))
        assert rows[0][f"update_norm.{encoder}"] == pytest.approx(moved)


@pytest.mark.parametrize("name", ["ogm", "mlb", "mslr", "agm", "pmr", "greedy"])
def test_coefficients_are_noted_for_every_modality(name):
    _, rows = run(name)
    assert len(rows) == 3
    for row in rows:
        assert {"coefficient.left", "coefficient.right"} <= set(row)
        assert math.isfinite(row["coefficient.left"])


@pytest.mark.parametrize("name", sorted(components("method")))
def test_recording_changes_no_bit(name):
    recorded, _ = run(name)
    plain, _ = run(name, record=False)
    if name == "pmr":  # its prototypes are drawn anew here
        return
    assert digest_state(recorded.state_dict()) == digest_state(plain.state_dict())


def test_rows_are_numbered_and_handed_out_once():
    network = TOY.network()
    method = make_method("mmpareto")
    recorder = Recorder(network)
    step, state = step_function(method, network, recorder=recorder), initial_state(method, network)
    for number in range(3):
        _, state = step(*TOY.batch(), state, 0, torch.Generator())
        recorder.before_update()
        recorder.after_update()
        if number == 1:
            assert [row["step"] for row in recorder.flush()] == [0, 1]
    assert [row["step"] for row in recorder.flush()] == [0]
    assert recorder.flush() == []


def test_integration_is_timed():
    _, rows = run("mmpareto")
    assert all(row[f"integration_seconds.{encoder}"] > 0 for row in rows for encoder in ("left", "right"))


def test_stationary_gradients_show_in_the_min_norm():
    rows = [{"step": 0.0, "min_norm.a": 0.5}, {"step": 1.0, "min_norm.a": 0.01}, {"step": 2.0, "min_norm.a": 0.0}]
    assert first_below(rows, "min_norm.a", 0.1) == 1
    assert first_below(rows, "min_norm.a", 1e-3) == 2
    assert first_below(rows, "min_norm.a", 0.0) is None


def test_tasks_are_recorded_as_modalities_are():
    _, rows = run("mmpareto", toy=Toy(tasks=True, dtype=torch.float64), steps=1)
    assert {"cosine.shape.place.left", "weight.shape.left", "min_norm.left"} <= set(rows[0])


def test_a_silent_gradient_has_no_angle():
    network = TOY.network()
    recorder = Recorder(network)
    step = step_function(make_method("mmpareto"), network, recorder=recorder)
    with torch.no_grad():
        for parameter in network.heads["left"].parameters():
            parameter.zero_()
    step(*TOY.batch(), {}, 0, torch.Generator())
    recorder.before_update()
    recorder.after_update()
    (row,) = recorder.flush()
    assert math.isnan(row["cosine.joint.left.left"])
    assert row["norm.left.left"] == 0.0
    assert row["min_norm.left"] == 0.0
