"""A step in micro-batches is the whole batch's but for rounding; what looks at the whole batch is refused by name."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_project import BENCHMARK, SmallProject
from tiny_models import model
from tiny_training import stop_after
from torch import Tensor, nn

from counterpoise.components import component, components, load_class
from counterpoise.data.prepare import prepare_dataset
from counterpoise.data.prepared import PreparedData
from counterpoise.declare import MethodInfo
from counterpoise.engine.control import Control, Interrupted
from counterpoise.engine.micro_batches import in_micro_batches
from counterpoise.engine.step import initial_state, step_function
from counterpoise.engine.whole_batch import refusal, refusal_of_method, refusal_of_network
from counterpoise.errors import UserError
from counterpoise.methods.interface import IntegrationMethod, LossMethod, Method
from counterpoise.models.build import build_network
from counterpoise.models.network import Network
from counterpoise.planning.forms import Form
from counterpoise.planning.resolve import modules_of
from counterpoise.protocol import Protocol
from counterpoise.results.record import read_record
from counterpoise.runs.count import count_run, micro_batch_that_fits
from counterpoise.runs.run import Run
from counterpoise.runs.train import train_run, trainer_of
from counterpoise.testing.toy import make_method

BATCH, CLASSES = 7, 5  # no size of a part but 1 and 7 divides it
SHAPES = {"left": (8,), "right": (6,), "third": (4,)}
MLP = ("mlp", {"width": 12})
VIT = ("vit", {"width": 16, "layers": 1, "heads": 2, "hidden": 16, "patch": 4})
BOTTLENECK = ("bottleneck", {"heads": 2, "hidden": 16, "layers": 1})
VALUES = {"optimiser": {"lr": 0.1}, "epochs": 1, "batch_size": 4}
EXACT = [
    *(("joint", "published"), ("uniform", "published"), ("unimodal", "published"), ("fine_tune", "published")),
    *(("mmpareto", "published"), ("mmpareto", "released"), ("pcgrad", "published"), ("gradnorm", "published")),
    *(("conventional_pareto", "published"), ("conventional_pareto", "released"), ("metabalance", "published")),
]
REFUSED = {
    **{name: r"step of its own \('loss'\)" for name in ("g_blending", "pmr", "agm")},
    "greedy": r"step of its own \('loss'\)",
    "mmcosine": r"predicts in a way of its own",
    **dict.fromkeys(("ogm", "ogm_ge", "mlb", "mslr"), "scores of the whole batch"),
}


def network(modalities: int = 2, tasks: bool = False, mixing: bool = False) -> Network:
    """Return a network without batch norm, in float64 and training mode; ``mixing``: MBT's, whose encoders meet."""
    names = list(SHAPES)[: 1 if tasks else modalities]
    encoders = dict.fromkeys(names, VIT if mixing else MLP)
    config = model(encoders, None if tasks else BOTTLENECK if mixing else ("concat", {}))
    classes = dict.fromkeys(("one", "two", "three"), CLASSES) if tasks else {"class": CLASSES}
    shapes = {name: (1, 8, 8) if mixing else SHAPES[name] for name in names}
    return build_network(config, shapes, classes, 0, load=load_class).double().train()


def batch(made: Network, size: int = BATCH, seed: int = 1) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    random = torch.Generator().manual_seed(seed)
    shapes = {name: (1, 8, 8) if made.fusion is not None and made.fusion.crosses else SHAPES[name] for name in SHAPES}
    inputs = {name: torch.randn(size, *shapes[name], generator=random, dtype=torch.float64) for name in made.modalities}
    targets = {name: torch.randint(CLASSES, (size,), generator=random) for name in sorted(set(made.targets.values()))}
    return inputs, targets


def after_two_steps(method: Method, size: int | None, **form: Any) -> dict[str, Tensor | None]:
    """Return losses, gradients and state after two steps at the same weights, the second with the first one's state."""
    made = network(**form)
    step = step_function(method, made)
    if size is not None:
        step = in_micro_batches(step, size)
    state = initial_state(method, made)
    for seed in (1, 2):
        inputs, targets = batch(made, seed=seed)
        losses, state = step(inputs, targets, state, 0, torch.Generator().manual_seed(seed))
    found: dict[str, Tensor | None] = {name: p.grad for name, p in made.named_parameters()}
    return found | {f"loss {name}": value for name, value in losses.items()} | state


def assert_equal_but_for_rounding(found: dict[str, Tensor | None], whole: dict[str, Tensor | None], atol=1e-13) -> None:
    assert list(found) == list(whole)
    for name, value in whole.items():
        if value is None:
            assert found[name] is None, name
        else:
            torch.testing.assert_close(found[name], value, rtol=0, atol=atol, msg=lambda text, name=name: name + text)


@pytest.mark.parametrize("size", [1, 3, BATCH, 100])
@pytest.mark.parametrize(("name", "variant"), EXACT)
def test_a_step_in_parts_is_the_whole_batchs_but_for_rounding(name, variant, size):
    """Not to the bit: a sum of parts rounds otherwise. float64, differences of at most 1e-13."""
    method = make_method(name, variant)
    found, whole = after_two_steps(method, size), after_two_steps(method, None)
    assert any(value is not None and float(value.abs().max()) > 1e-3 for value in whole.values())
    assert_equal_but_for_rounding(found, whole)


@pytest.mark.parametrize("name", ["uniform", "mmpareto", "gradnorm", "metabalance", "conventional_pareto", "pcgrad"])
@pytest.mark.parametrize("form", [{"modalities": 3}, {"tasks": True}, {"mixing": True}])
def test_it_is_so_with_more_modalities_several_tasks_and_encoders_that_meet_before_predicting(name, form):
    """With three tasks PCGrad draws an order: once for the batch, not once for each part."""
    method = make_method(name)
    assert_equal_but_for_rounding(after_two_steps(method, 3, **form), after_two_steps(method, None, **form), atol=1e-12)


@pytest.mark.parametrize("name", ["uniform", "mmpareto", "conventional_pareto", "pcgrad", "metabalance"])
def test_a_batch_that_is_one_part_has_the_bits_of_a_whole_one(name):
    found, whole = (after_two_steps(make_method(name), size) for size in (BATCH, None))
    for key, value in whole.items():
        assert (value is None and found[key] is None) or torch.equal(found[key], value), key


@pytest.mark.parametrize("name", ["uniform", "mmpareto"])
def test_no_gradient_of_an_earlier_step_survives(name):
    made, method = network(), make_method(name)
    step = in_micro_batches(step_function(method, made), 3)
    for p in made.parameters():
        p.grad = torch.full_like(p, 100.0)
    step(*batch(made), initial_state(method, made), 0, torch.Generator())
    assert max(float(p.grad.abs().max()) for p in made.parameters()) < 50


def test_a_frozen_encoder_is_left_alone_and_heads_are_trained():
    found = {}
    for size in (None, 3):
        made, method = network(), make_method("mmpareto")
        made.encoders["left"].requires_grad_(False)
        step = step_function(method, made)
        step = step if size is None else in_micro_batches(step, size)
        step(*batch(made), initial_state(method, made), 0, torch.Generator())
        found[size] = {name: p.grad for name, p in made.named_parameters()}
    assert {name.split(".")[1] for name, gradient in found[3].items() if gradient is None} == {"left"}
    assert_equal_but_for_rounding(found[3], found[None])


@pytest.mark.parametrize("name", ["uniform", "mmpareto"])
def test_half_precision_is_that_of_the_whole_batch(name):
    """Losses, gradients and formula stay in the parameters' type; forward passes are bf16, sample by sample."""
    gradients = []
    for size in (None, 3):
        made, method = network().float(), make_method(name)
        step = step_function(method, made, autocast=torch.bfloat16)
        step = step if size is None else in_micro_batches(step, size)
        inputs, targets = batch(made)
        step({n: x.float() for n, x in inputs.items()}, targets, initial_state(method, made), 0, torch.Generator())
        gradients.append(torch.cat([p.grad.flatten() for p in made.parameters()]))
    whole, found = gradients
    assert found.dtype == torch.float32
    assert float((found - whole).norm() / whole.norm()) < 0.02


class TestWhatIsRefused:
    @pytest.mark.parametrize(("name", "variant"), EXACT)
    def test_a_sum_of_losses_and_a_combination_of_gradients_are_not(self, name, variant):
        assert refusal_of_method(make_method(name, variant)) == ""

    @pytest.mark.parametrize("name", REFUSED)
    def test_a_method_that_looks_at_the_batch_is(self, name):
        assert re.search(REFUSED[name], refusal_of_method(make_method(name)))

    def test_every_method_of_the_package_is_one_or_the_other(self):
        ours = {name for name, made in components("method").items() if made.module.startswith("counterpoise.")}
        assert ours == {name for name, _ in EXACT} | set(REFUSED)

    @pytest.mark.parametrize("hook", ["loss", "before_forward", "after_backward", "predict"])
    def test_any_hook_that_sees_the_batch_is_of_other_packages_too(self, hook):
        class Base(LossMethod):
            info = MethodInfo("theirs", "Theirs", "loss", "", "")

        setattr(Base, hook, lambda *arguments: None)
        derived = type("Derived", (Base,), {})
        assert f"'{hook}'" in refusal_of_method(derived())

    def test_an_integration_method_that_predicts_by_itself_is(self):
        class Theirs(IntegrationMethod):
            info = MethodInfo("theirs", "Theirs", "integration", "", "")

            def predict(self, network, features):
                return {}

        assert "'predict'" in refusal_of_method(Theirs())

    @pytest.mark.parametrize(
        ("layer", "refused"),
        [
            (nn.BatchNorm1d(3), True),
            (nn.SyncBatchNorm(3), True),
            (nn.BatchNorm2d(3, track_running_stats=False), True),
            (nn.InstanceNorm2d(3, track_running_stats=True), True),
            (nn.InstanceNorm2d(3), False),
            (nn.LayerNorm(3), False),
            (nn.GroupNorm(1, 3), False),
        ],
    )
    def test_a_layer_that_keeps_statistics_of_the_batch_is_by_its_name(self, layer, refused):
        made = network()
        made.encoders["right"].inner = layer
        expected = f"'encoders.right.inner' of its network keeps statistics of the batch ({type(layer).__name__})"
        assert refusal_of_network(made) == (expected if refused else "")

    def test_a_trunk_that_stays_in_evaluation_mode_is_not(self):
        class Frozen(nn.BatchNorm1d):
            def train(self, mode: bool = True) -> Frozen:
                return super().train(False)

        made = network()
        made.encoders["right"].inner = Frozen(3)
        assert refusal_of_network(made) == ""

    @pytest.mark.parametrize("kind", ["segmentation", "depth"])
    def test_a_loss_that_is_a_mean_over_pixels_is(self, kind):
        made = network(tasks=True)
        made.kinds = {"two": kind}
        assert "target 'two' is a mean over pixels" in refusal_of_network(made)

    def test_training_between_epochs_is(self):
        class Branching(type(make_method("uniform", "published"))):
            def start_epoch(self, epoch, state):
                return state

        assert refusal_of_method(Branching()) == "it may train between epochs ('start_epoch'), on whole batches"

    def test_recording_is(self):
        config = {"method": {"name": "uniform", "settings": {}}, "protocol": {"diagnostics": True}}
        assert "'diagnostics' of the protocol records whole batches" in refusal(config, None, load_class)


def test_before_the_data_is_there_the_method_alone_is_looked_at():
    config = {
        "model": model(dict.fromkeys(("left", "right"), ("conv4", {"channels": 2})), ("concat", {})),
        "method": {"name": "uniform", "settings": {}},
        "protocol": {"diagnostics": False},
    }
    form = Form({"train": 4}, {name: {"shape": (1, 8, 8)} for name in ("left", "right")}, {"class": {"classes": 3}})
    assert refusal(config, None, load_class) == ""
    assert "'encoders.left.norm'" in refusal(config, form, load_class)
    assert refusal(config | {"method": {"name": "mlb", "settings": {}}}, None, load_class).startswith("MLB cannot")


@pytest.mark.parametrize("size", [None, 8, 9])
def test_a_size_that_no_batch_is_larger_than_changes_nothing(size):
    plain = Protocol.model_validate(VALUES | {"batch_size": 8}).model_dump(mode="json")
    assert Protocol.model_validate(VALUES | {"batch_size": 8, "micro_batch": size}).model_dump(mode="json") == plain
    smaller = Protocol.model_validate(VALUES | {"batch_size": 8, "micro_batch": 7}).model_dump(mode="json")
    assert smaller == plain | {"micro_batch": 7}


class TestKeys:
    @pytest.mark.parametrize("given", [{}, {"micro_batch": None}])
    def test_a_protocol_without_it_is_dumped_as_before_it_existed(self, given):
        dumped = Protocol.model_validate(VALUES | given).model_dump(mode="json")
        assert "micro_batch" not in dumped
        assert list(dumped)[:4] == ["optimiser", "schedule", "epochs", "batch_size"]
        assert Protocol.model_validate(dumped).micro_batch is None

    def test_with_it_the_key_rests_on_the_size_and_on_the_steps_source(self):
        plain, parts = (
            Protocol.model_validate(VALUES | given).model_dump(mode="json") for given in ({}, {"micro_batch": 2})
        )
        assert parts == plain | {"micro_batch": 2}
        config = model({"left": MLP, "right": MLP}, ("concat", {}))
        added = set(modules_of(component("method", "uniform"), config, parts))
        added -= set(modules_of(component("method", "uniform"), config, plain))
        assert added == {"counterpoise.engine.micro_batches"}


# From a benchmark's file to a finished run.


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> SmallProject:
    """A project whose protocol has micro-batches and whose model drops units, with its data prepared."""
    made = SmallProject(tmp_path_factory.mktemp("project"), repository)
    encoder = {"component": "mlp", "settings": {"width": 16, "dropout": 0.3}}
    plain = {"title": "Plain", "encoders": {"gray": encoder, "colour": encoder}, "fusion": {"component": "concat"}}
    made.write("configs/models/plain.yaml", plain)
    made.write(
        "configs/protocols/parts.yaml", VALUES | {"title": "Parts", "epochs": 2, "batch_size": 256, "micro_batch": 100}
    )
    rows = ["One joint loss", "Uniform baseline", "MMPareto", "OGM-GE"]
    columns = {"cg_mnist": {"dataset": "cg_digits", "model": "plain", "protocol": "parts"}}
    made.table(columns=columns, rows=rows[:3], extra_methods=["ogm_ge"], variants={"mmpareto": ["published"]})
    cell = made.cell("uniform")
    raw, destination = made.root / "data/raw", made.root / cell.data.directory
    prepare_dataset(cell.data.component, cell.data.settings, raw, destination, cell.data.key, source=cell.data.source)
    return made


@contextlib.contextmanager
def kept(project: SmallProject) -> Iterator[None]:
    """Put the benchmark back in the end: all tests of this module share the project."""
    path = project.root / BENCHMARK
    before = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(before)


def test_a_plan_leaves_out_methods_that_look_at_the_batch_and_no_others(project):
    plan = project.plan()
    assert {cell.method for cell in plan.cells} == {"joint", "uniform", "mmpareto"}
    assert {cell.config["protocol"]["micro_batch"] for cell in plan.cells} == {100}
    reasons = {value.reason for value in plan.values if value.cell is None}
    assert "OGM-GE cannot be trained with 'micro_batch': it scales gradients by scores of the whole batch" in reasons


def test_a_plan_refuses_a_network_that_normalises_over_the_batch_by_the_layers_name(project):
    columns = {"cg_mnist": {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "parts"}}
    before = project.benchmark()
    project.table(columns=columns)
    try:
        plan = project.plan()
    finally:
        project.benchmark(**before)
    assert plan.cells == []
    expected = "Uniform baseline cannot be trained with 'micro_batch': 'encoders.gray.norm' of its network keeps"
    assert any(value.reason.startswith(expected) for value in plan.values)


def test_predictions_are_made_in_parts_too_and_of_every_sample_in_order(project, tmp_path):
    run = Run(cell=project.cell("uniform"), seed=0, root=project.root, runs=tmp_path, work=tmp_path)
    data = PreparedData.open(run.data_folder)
    trainer = trainer_of(run, data, Protocol.model_validate(run.cell.config["protocol"]), torch.device("cpu"))
    batches = list(trainer.batches("test"))
    assert len(batches) > 1
    assert max(len(x) for inputs, _ in batches for x in inputs.values()) == 100
    labels = torch.cat([targets["digit"] for _, targets in batches])
    assert labels.tolist() == data.array("test", "digit").tolist()


def test_where_a_setting_of_the_benchmark_passes_batches_in_parts_it_is_no_other_training(project):
    with kept(project):
        project.benchmark(methods={"uniform": {"protocol": {"micro_batch": 50}}})
        plan = project.plan()
    values = [value for value in plan.values if value.cell is not None and value.cell.method == "uniform"]
    assert {value.cell.config["protocol"]["micro_batch"] for value in values} == {50}
    assert "training" not in {difference.aspect for value in values for difference in value.differs}


def test_what_starts_from_runs_that_are_refused_is_refused_too(project):
    column = {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits"}
    with kept(project):
        project.table(columns={"cg_mnist": column}, extra_methods=["fine_tune"])
        project.benchmark(methods={"unimodal": {"protocol": {"micro_batch": 4}}})
        plan = project.plan()
    assert {cell.method for cell in plan.cells} == {"joint", "uniform", "mmpareto"}
    reasons = [value.reason for value in plan.values]
    assert any("starts from runs of one modality alone: Unimodal cannot be trained with" in text for text in reasons)


@pytest.mark.parametrize("method", ["uniform", "mmpareto"])
def test_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not(project, tmp_path, method):
    digests = []
    for folder, stops in (("whole", ()), ("stopped", (2, 1))):
        place = tmp_path / folder
        run = Run(cell=project.cell(method), seed=0, root=project.root, runs=place / "results", work=place / "work")
        for after in stops:
            with pytest.raises(Interrupted):
                train_run(run, torch.device("cpu"), Control(stop=stop_after(after)))
        train_run(run, torch.device("cpu"))
        record = read_record(run.folder, run.cell.key, 0)
        assert len(record.attempts) == 1 + len(stops)
        assert record.status == "completed"
        digests.append((record.weights_sha256, record.files))
    assert digests[0] == digests[1]


def test_a_run_whose_network_was_not_known_at_planning_is_refused_before_it_trains(project, tmp_path):
    cell = project.cell("uniform")
    model = cell.config["model"]
    encoder = {"component": "conv4", "settings": {"channels": 2, "width": 6}}
    normalising = model | {"encoders": {"gray": encoder, "colour": encoder}}
    cell = replace(cell, config=cell.config | {"model": normalising})
    run = Run(cell=cell, seed=0, root=project.root, runs=tmp_path / "results", work=tmp_path / "work")
    with pytest.raises(UserError, match=r"'micro_batch': 'encoders\.gray\.norm' of its network keeps statistics"):
        train_run(run, torch.device("cpu"))
    assert not run.folder.exists()


def test_counted_memory_follows_the_size_and_the_largest_that_fits_is_offered(project):
    arrays = {name: {"shape": [100], "dtype": "float32"} for name in ("gray", "colour")}
    form = Form({"train": 4096, "test": 1}, arrays, {"digit": {"classes": 10}})
    planned = project.cell("mmpareto").config
    config = planned | {"protocol": planned["protocol"] | {"batch_size": 4096, "micro_batch": None}}

    def memory(size: int | None) -> int:
        return count_run(config | {"protocol": config["protocol"] | {"micro_batch": size}}, form).memory

    whole, quarter, eighth = (memory(size) for size in (None, 1024, 512))
    assert whole > quarter > eighth
    assert micro_batch_that_fits(config, form, whole, quarter) == 1024
    assert micro_batch_that_fits(config, form, whole, eighth + 1000) == 512
    assert micro_batch_that_fits(config, form, whole, 1000) is None
    looking_at_more = Form({"train": 4096, "test": 512}, arrays, {"digit": {"classes": 10}})
    for room in (quarter, eighth):  # what is offered fits as a whole, predictions included
        offered = micro_batch_that_fits(config, looking_at_more, whole, room)
        fitting = config | {"protocol": config["protocol"] | {"micro_batch": offered}}
        assert offered is not None
        assert count_run(fitting, looking_at_more).memory <= room
    looking = {"method": {"name": "mlb", "variant": "published", "settings": {}}}
    assert micro_batch_that_fits(config | looking, form, whole, quarter) is None
