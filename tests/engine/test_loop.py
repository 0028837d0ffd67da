"""The training loop: resuming is replaying, divergence is recorded, and nothing outside a run is touched."""

from __future__ import annotations

import itertools
import math
import time
from functools import partial

import pytest
import torch
from tiny_training import BATCH, TRAIN, fingerprint, run_with_stops, stop_after, trainer

from counterpoise.engine.control import Control, Interrupted
from counterpoise.engine.evaluation import primary_accuracy
from counterpoise.runs.checkpoint import Checkpoints
from counterpoise.testing.toy import Toy

STEPS = -(-TRAIN // BATCH)

# Methods with every kind of state: none; weights that are learnt; running averages; drawn permutations;
# prototypes and a random subset; noise on gradients; validation losses between epochs.
METHODS = ["uniform", "gradnorm", "metabalance", "pcgrad", "pmr", "ogm_ge", "greedy"]


def undisturbed(method: str, **changes):
    running = trainer(method, **changes)
    running.run()
    return fingerprint(running)


@pytest.fixture(scope="module")
def whole():
    """Fingerprints of runs that nobody stopped, by method."""
    return {method: undisturbed(method) for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_stopped_inside_epochs_gives_the_same_bits(method, tmp_path, whole):
    running, interruptions = run_with_stops(partial(trainer, method), tmp_path, every=2)
    assert interruptions >= 2
    assert fingerprint(running) == whole[method]


@pytest.mark.parametrize("every", [1, 2, 7, 9])
def test_it_does_not_matter_where_a_run_is_stopped(every, tmp_path, whole):
    running, interruptions = run_with_stops(trainer, tmp_path, every)
    assert interruptions >= 1
    assert fingerprint(running) == whole["uniform"]


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": {"name": "adam"}},
        {"optimiser": {"name": "adamw", "betas": [0.8, 0.9]}},
        {"optimiser": {"momentum": 0.0}},
        {"schedule": {"name": "step", "period": 1, "factor": 0.5}},
        {"schedule": {"name": "cosine_restarts", "period": 3, "warm_up_steps": 2}},
        {"clip_norm": 0.1},
        {"drop_last": True},
        {"validation": False},
        {"evaluate_every": 2},
    ],
    ids=str,
)
def test_the_protocol_does_not_break_resuming(changes, tmp_path):
    running, interruptions = run_with_stops(partial(trainer, **changes), tmp_path, every=2)
    assert interruptions >= 2
    assert fingerprint(running) == undisturbed("uniform", **changes)


def test_tasks_resume_like_modalities(tmp_path):
    make = partial(trainer, "metabalance", toy=Toy(tasks=True))
    running, interruptions = run_with_stops(make, tmp_path, every=2)
    assert interruptions >= 2
    assert fingerprint(running) == undisturbed("metabalance", toy=Toy(tasks=True))


def test_a_run_that_is_killed_goes_on_from_its_last_save(tmp_path, whole):
    ticks = iter(range(0, 10**6, 100))

    class Killed(Exception):
        pass

    def kill(epoch: int, row: dict) -> None:
        if epoch == 2:
            raise Killed

    checkpoints = Checkpoints(tmp_path, "key", 0, "raw")
    control = Control(report=kill, save=checkpoints.save, save_seconds=250, clock=lambda: next(ticks))
    with pytest.raises(Killed):
        trainer().run(control)
    saved, _ = checkpoints.load()
    running = trainer()
    running.restore(saved)
    assert 0 < running.progress.step < 2 * STEPS
    running.run()
    assert fingerprint(running) == whole["uniform"]


def test_a_wall_clock_that_jumps_changes_nothing(monkeypatch, whole):
    jumps = itertools.cycle((0.0, 4e9, -1e6, 1e3))
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    saved = []

    running = trainer()
    running.run(Control(save=lambda state: saved.append(state.plain["step"]), save_seconds=0.0))
    assert fingerprint(running) == whole["uniform"]
    assert saved == list(range(1, 3 * STEPS))  # every step but the last, whatever time it was said to be
    assert 0 <= running.progress.seconds < 3600


def test_a_stopped_run_has_saved_where_it_is(tmp_path):
    checkpoints = Checkpoints(tmp_path, "key", 0, "raw")
    running = trainer()
    with pytest.raises(Interrupted):
        running.run(Control(stop=stop_after(3), save=checkpoints.save))
    saved, _ = checkpoints.load()
    assert saved.plain["step"] == running.progress.step > 0


def test_a_run_that_is_done_is_not_stopped():
    running = trainer(epochs=1)
    steps = []
    control = Control(stop=lambda: running.progress.step >= STEPS, report=lambda epoch, row: steps.append(epoch))
    running.run(control)
    assert steps == [1]


def test_every_epoch_is_told_with_its_row():
    told = []
    running = trainer()
    running.run(Control(report=lambda epoch, row: told.append((epoch, row))))
    assert [epoch for epoch, _ in told] == [1, 2, 3]
    assert [row for _, row in told] == running.progress.history


# What is recorded.


def test_history_has_losses_and_accuracies_of_every_objective():
    running = trainer()
    running.run()
    first = running.progress.history[0]
    for part in ("train_loss", "test_accuracy", "val_accuracy"):
        assert {name.partition(".")[2] for name in first if name.startswith(part)} == {"joint", "left", "right"}
    assert [row["epoch"] for row in running.progress.history] == [0, 1, 2]
    assert [row["step"] for row in running.progress.history] == [STEPS, 2 * STEPS, 3 * STEPS]


def test_a_run_learns():
    running = trainer(epochs=8)
    running.run()
    history = running.progress.history
    assert history[-1]["train_loss.joint"] < history[0]["train_loss.joint"] / 2
    assert history[-1]["test_accuracy.joint"] > 0.8


def test_the_last_epoch_is_evaluated_whatever_the_interval():
    running = trainer(epochs=5, evaluate_every=2)
    running.run()
    assert [row["epoch"] for row in running.progress.history] == [1, 3, 4]


def test_the_selections_are_those_of_the_history():
    running = trainer(epochs=6)
    running.run()
    history, chosen = running.progress.history, running.progress.selections.plain()
    assert chosen["last"]["epoch"] == 5
    for rule, column in (("best_test", "test_accuracy.joint"), ("best_val", "val_accuracy.joint")):
        best = max(row[column] for row in history)
        first = next(row["epoch"] for row in history if row[column] == best)
        assert chosen[rule] == {"epoch": first, "accuracy": best}


def test_without_validation_data_nothing_is_chosen_by_it():
    running = trainer(validation=False)
    running.run()
    assert set(running.progress.selections.found) == {"last", "best_test"}


def test_patience_ends_a_run_that_gets_no_better():
    running = trainer(epochs=40, patience=2, optimiser={"lr": 1e-12})
    running.run()
    best = running.progress.selections.plain()["best_val"]["epoch"]
    assert running.progress.epoch < 40
    assert running.progress.history[-1]["epoch"] == best + 2


def test_the_schedule_sets_the_rate_of_every_epoch():
    running = trainer(schedule={"name": "step", "period": 2, "factor": 0.1})
    running.run()
    assert [row["lr"] for row in running.progress.history] == pytest.approx([0.05, 0.05, 0.005])


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [({"joint": 0.5, "audio": 0.9}, 0.5), ({"left": 0.2, "right": 0.6}, 0.4), ({"audio": 0.3}, 0.3)],
)
def test_epochs_are_chosen_by_the_joint_accuracy_or_the_mean(accuracies, expected):
    assert primary_accuracy(accuracies) == pytest.approx(expected)


# Divergence.


def spoil(running, at: int, value: float) -> None:
    """Make every loss of one step ``value``, as the loop sees it."""
    step_of = running.step_of

    def spoilt(*arguments):
        losses, state = step_of(*arguments)
        if running.progress.step == at:
            losses = dict(losses, joint=torch.tensor(value))
        return losses, state

    running.step_of = spoilt


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e9])
def test_divergence_is_recorded_with_its_step_and_ends_the_run(value):
    running = trainer()
    spoil(running, STEPS + 1, value)
    progress = running.run()
    assert f"step {STEPS + 1} (epoch 1)" in progress.diverged
    assert "loss" in progress.diverged
    assert progress.epoch == 2
    assert [row["epoch"] for row in progress.history] == [0]


def test_a_rate_that_is_far_too_high_diverges_where_the_losses_first_explode():
    running = trainer(optimiser={"lr": 1e30})
    largest = []
    step_of = running.step_of

    def watch(*arguments):
        losses, state = step_of(*arguments)
        largest.append(torch.stack(list(losses.values())).abs().max().item())
        return losses, state

    running.step_of = watch
    diverged = running.run().diverged
    first = next(step for step, loss in enumerate(largest) if not loss <= 1e6)
    assert f"step {first} " in diverged


def test_divergence_survives_an_interruption_within_its_epoch(tmp_path):
    def make():
        running = trainer()
        spoil(running, 0, math.nan)
        return running

    running, interruptions = run_with_stops(make, tmp_path, every=2)
    assert interruptions >= 1
    assert "step 0 (epoch 0)" in running.progress.diverged


def test_predictions_that_are_not_finite_are_divergence_too():
    running = trainer(epochs=1)
    step_of = running.step_of

    def poison(*arguments):
        losses, state = step_of(*arguments)
        with torch.no_grad():
            next(running.network.fusion.parameters()).fill_(math.nan)
        return dict.fromkeys(losses, torch.tensor(1.0)), state

    running.step_of = poison
    assert "predictions not finite after epoch 0" in running.run().diverged


# Streams.


def order_of(running) -> list[int]:
    """The order in which the first epoch's samples are trained on."""
    seen: list[int] = []
    batches = running.data.train.batches

    def watch(order, size, generator=None):
        seen.extend(order.tolist())
        return batches(order, size, generator)

    running.data.train.batches = watch
    running.run(Control(report=lambda epoch, row: None))
    return seen[:TRAIN]


def test_every_sample_is_trained_on_once_an_epoch():
    order = order_of(trainer(epochs=1))
    assert sorted(order) == list(range(TRAIN))
    assert order != list(range(TRAIN))


def test_another_seed_is_another_order():
    assert order_of(trainer(seed=0, epochs=1)) != order_of(trainer(seed=1, epochs=1))


def test_epochs_differ_in_their_order_and_augmentation(whole):
    running = trainer(epochs=2)
    orders: list[list[int]] = []
    batches = running.data.train.batches

    def watch(order, size, generator=None):
        orders.append(order.tolist())
        return batches(order, size, generator)

    running.data.train.batches = watch
    running.run()
    assert orders[0] != orders[1]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(whole):
    assert undisturbed("uniform") == whole["uniform"]
    other = trainer(seed=1)
    other.run()
    assert fingerprint(other)["weights"] != whole["uniform"]["weights"]


def test_the_global_generator_has_no_say(whole):
    torch.manual_seed(12345)
    assert undisturbed("uniform") == whole["uniform"]


def test_dropping_the_last_batch_leaves_out_what_does_not_fill_one():
    running = trainer(epochs=2, drop_last=True)
    running.run()
    assert running.progress.step == 2 * (TRAIN // BATCH)


# What methods may ask between epochs.


def test_a_branch_leaves_the_run_alone():
    running = trainer()
    before = fingerprint(running)
    branch = running.train_branch(("left",), epochs=1)
    assert fingerprint(running) == before
    changed = [
        name
        for name, value in branch.state_dict().items()
        if not torch.equal(value, running.network.state_dict()[name])
    ]
    assert changed
    assert all(name.startswith(("encoders.left", "heads.left")) for name in changed)


def test_losses_over_a_split_are_means_over_its_samples():
    running = trainer()
    losses = running.objective_losses("test")
    inputs, targets = running.data.test.inputs, running.data.test.targets
    running.network.eval()
    with torch.no_grad():
        outputs = running.network.predict(running.network.encode(inputs), running.network.objectives)
    for name, logits in outputs.items():
        expected = torch.nn.functional.cross_entropy(logits, targets["class"])
        assert losses[name].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_part_of_a_split_is_the_same_within_an_epoch():
    running = trainer()
    first, second = (torch.cat([t["class"] for _, t in running.batches("train", 0.5)]) for _ in range(2))
    assert len(first) == TRAIN // 2
    assert torch.equal(first, second)


def test_a_split_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no split 'val'"):
        list(trainer(validation=False).batches("val"))
