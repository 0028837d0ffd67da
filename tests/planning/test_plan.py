"""A benchmark becomes cells and values: each value has a cell or the reason why it has none."""

from __future__ import annotations

import dataclasses
import json
from pathlib import PurePosixPath

import pytest
import yaml
from small_project import BENCHMARK, SmallProject

from counterpoise.comparability import NOT_IN_BENCHMARK
from counterpoise.components import component
from counterpoise.declare import DatasetInfo
from counterpoise.errors import UserError
from counterpoise.planning.benchmark import parse_overrides, typed_overrides
from counterpoise.planning.configs import Configs, merge
from counterpoise.planning.plan import make_plan
from counterpoise.planning.resolve import refusal_of_method

CREMA_D = {"crema_d": {"dataset": "crema_d", "model": "mmpareto_resnet18", "protocol": "mmpareto/published"}}


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    return SmallProject(tmp_path, repository)


def values(plan, **wanted):
    return [v for v in plan.values if all(getattr(v, name) == value for name, value in wanted.items())]


def test_every_value_of_the_chosen_rows_is_planned(project):
    plan = project.plan()
    table = plan.papers["mmpareto"].tables["table3"]
    rows = {"One joint loss": 1, "Uniform baseline": 1, "MMPareto": 2}
    assert len(plan.values) == sum(rows.values()) * len(table.columns)
    for row, variants in rows.items():
        assert len(values(plan, row=row, column="cg_mnist.accuracy")) == variants


def test_a_value_without_a_cell_says_why(project):
    plan = project.plan()
    assert all((value.cell is None) == bool(value.reason) for value in plan.values)
    assert {v.reason for v in values(plan, column="modelnet40.accuracy")} == {NOT_IN_BENCHMARK}


def test_values_of_one_row_share_their_cell(project):
    plan = project.plan()
    accuracy, f1 = (values(plan, row="Uniform baseline", column=f"cg_mnist.{m}") for m in ("accuracy", "macro_f1"))
    assert accuracy[0].cell is f1[0].cell
    assert len(plan.cells) == len({cell.name for cell in plan.cells}) == 4


def test_a_row_in_one_variant_does_not_name_it(project):
    assert {value.variant for value in values(project.plan(), row="Uniform baseline")} == {None}
    assert {value.variant for value in values(project.plan(), row="MMPareto")} == {"published", "released"}


def test_another_dataset_than_the_papers_is_a_stand_in(project):
    assert all(value.stand_in for value in values(project.plan(), column="cg_mnist.accuracy"))
    column = {"dataset": "cg_mnist", "model": "cg_mnist_conv4", "protocol": "mmpareto/published"}
    project.table(columns={"cg_mnist": column})
    assert not any(value.stand_in for value in values(project.plan(), column="cg_mnist.accuracy"))


def test_a_shortened_protocol_makes_a_stand_in_of_the_papers_own_dataset(project):
    column = {"dataset": "cg_mnist", "model": "cg_mnist_conv4", "protocol": "short"}
    project.table(columns={"cg_mnist": column})
    short = yaml.safe_load((project.root / "configs/protocols/mmpareto/published.yaml").read_text())
    path = project.root / "configs/protocols/short.yaml"
    path.write_text(yaml.safe_dump({**short, "epochs": 3, "title": "3 epochs"}))
    told = values(project.plan(), column="cg_mnist.accuracy")
    assert told
    assert not any(value.stand_in for value in told)
    path.write_text(yaml.safe_dump({**short, "epochs": 3, "title": "3 epochs", "stand_in_for": "mmpareto/published"}))
    marked = values(project.plan(), column="cg_mnist.accuracy")
    assert {(value.stand_in, value.other_training) for value in marked} == {(True, "3 epochs")}
    assert [value.cell.key for value in marked] == [value.cell.key for value in told]


def test_a_protocol_cannot_stand_in_for_one_that_does_not_exist(project):
    path = project.root / "configs/protocols/mmpareto/published.yaml"
    path.write_text(path.read_text() + "stand_in_for: mmpareto/publishd\n")
    column = {"dataset": "cg_mnist", "model": "cg_mnist_conv4", "protocol": "mmpareto/published"}
    project.table(columns={"cg_mnist": column})
    with pytest.raises(UserError, match=r"mmpareto/publishd.*did you mean 'mmpareto/published'"):
        project.plan()


def test_a_method_that_a_model_cannot_carry_is_not_run_and_says_why(project):
    (table,) = project.benchmark()["tables"]
    column = {"dataset": "multi_digits", "model": "multi_digits_lenet", "protocol": "digits"}
    table5 = {"paper": "mmpareto", "table": "table5", "columns": {"multi_mnist": column}}
    project.benchmark(tables=[table, table5 | {"extra_methods": ["ogm_ge"]}])
    title = component("method", "ogm_ge").info.title
    found = values(project.plan(), table="table5", row=title)
    assert found
    assert all(value.cell is None and "several tasks" in value.reason for value in found)


def test_two_tables_that_need_the_same_run_share_it(project):
    (table,) = project.benchmark()["tables"]
    column = table["columns"]["cg_mnist"] | {"modalities": {"audio": "gray", "visual": "colour"}}
    other = {"paper": "mmpareto", "table": "table1", "columns": {"crema_d": column}}
    project.benchmark(tables=[table, other | {"rows": ["Uniform baseline"]}])
    plan = project.plan()
    (first,) = values(plan, table="table3", row="Uniform baseline", column="cg_mnist.accuracy")
    (second,) = values(plan, table="table1", row="Uniform baseline", column="crema_d.accuracy")
    assert first.cell is second.cell
    assert len(plan.cells) == 4


def test_a_row_of_one_modality_trains_the_datasets_modality_of_that_role(project):
    (table,) = project.benchmark()["tables"]
    column = table["columns"]["cg_mnist"] | {"modalities": {"audio": "gray", "visual": "colour"}}
    other = {"paper": "mmpareto", "table": "table1", "columns": {"crema_d": column}, "rows": ["Audio-only"]}
    project.benchmark(tables=[other])
    (value, *_) = values(project.plan(), row="Audio-only", column="crema_d.accuracy_audio")
    assert value.cell.config["method"]["settings"]["modality"] == "gray"


def test_paths_carry_names_and_key(project):
    cell = project.cell("mmpareto", "released")
    assert cell.name == f"cg_digits/cg_digits_conv4/mmpareto-released.{cell.key}"
    assert cell.run_directory(3) == PurePosixPath("results/runs", cell.name, "seed-3")
    assert cell.data.directory == PurePosixPath(f"data/prepared/cg_digits.{cell.data.key}")


def test_a_cell_is_found_by_its_name_and_no_other(project):
    plan = project.plan()
    assert plan.cell(plan.cells[2].name) is plan.cells[2]
    with pytest.raises(UserError, match=f"did you mean '{plan.cells[2].name}'"):
        plan.cell(plan.cells[2].name + "0")


@pytest.mark.parametrize(
    ("probe", "methods"), [("starred", {"joint"}), ("all", {"unimodal", "joint", "uniform", "mmpareto"})]
)
def test_a_table_says_whose_encoders_are_probed(project, probe, methods):
    rows = ["Audio-only", "One joint loss", "Uniform baseline", "MMPareto"]
    table = {"paper": "mmpareto", "table": "table1", "columns": CREMA_D, "rows": rows, "probe": probe}
    project.benchmark(tables=[table])
    plan = project.plan()
    assert {plan.cell(name).method for name in plan.probed} == methods
    assert plan.probed <= plan.keep_weights


def test_a_probe_of_all_rows_of_a_table_without_unimodal_columns_is_refused(project):
    project.table(probe="all")
    with pytest.raises(UserError, match="no unimodal columns"):
        project.plan()


FOLDS = {
    "dataset": "crema_d_vavl",
    "folds": ["crema_d_vavl_fold2", "crema_d_vavl_fold3"],
    "model": "resnet18_concat",
    "protocol": "mlb/resnet",
}


def folded(project, **changes):
    columns = {"crema_d_resnet_late": FOLDS | changes}
    rows = ["Multi-Loss", "MLB"]
    project.benchmark(tables=[{"paper": "mlb", "table": "figure3", "columns": columns, "rows": rows}])
    return project.plan(seeds=[0, 1, 2, 3])


def test_seeds_run_on_the_folds_in_turn(project):
    plan = folded(project)
    for cell in plan.cells:
        folds = [cell.data_of(seed).settings["fold"] for seed in plan.seeds]
        assert folds == [1, 2, 3, 1]
    assert {data.name for data in plan.datasets} == {"crema_d_vavl", *FOLDS["folds"]}
    assert not any(value.stand_in for value in plan.values if value.cell)
    assert len(project.plan(seeds=[0]).datasets) == 1


def test_how_a_benchmark_is_run_renames_nothing(project):
    one, other = project.plan(), project.plan(job={"runs_per_gpu": 3, "minutes": 5}, mirror="/mirror")
    assert [cell.key for cell in one.cells] == [cell.key for cell in other.cells]


def test_other_folds_are_other_runs(project):
    with_folds = {cell.key for cell in folded(project).cells}
    assert with_folds.isdisjoint(cell.key for cell in folded(project, folds=[]).cells)
    assert with_folds.isdisjoint(cell.key for cell in folded(project, folds=FOLDS["folds"][:1]).cells)


def test_a_fold_of_another_dataset_is_refused(project):
    with pytest.raises(UserError, match="folds: 'ave' is of 'ave', which is another dataset"):
        folded(project, folds=["ave"])
    with pytest.raises(UserError, match=r"folds: there is no dataset 'crema_d_vavl_fold4'"):
        folded(project, folds=["crema_d_vavl_fold4"])


# What is laid over what.


def lr(cell) -> float:
    return cell.config["protocol"]["optimiser"]["lr"]


def test_later_layers_win(project):
    assert lr(project.cell("mmpareto")) == 0.02  # the protocol
    file = {"protocol": {"optimiser": {"lr": 0.1}}}
    project.write("configs/methods/mmpareto.yaml", file)
    assert lr(project.cell("mmpareto")) == 0.1  # the method's file
    file["variants"] = {"released": {"protocol": {"optimiser": {"lr": 0.2}}}}
    project.write("configs/methods/mmpareto.yaml", file)
    assert [lr(project.cell("mmpareto", v)) for v in ("published", "released")] == [0.1, 0.2]  # its variant
    file["datasets"] = {"cg_digits": {"protocol": {"optimiser": {"lr": 0.3}}}}
    project.write("configs/methods/mmpareto.yaml", file)
    assert [lr(project.cell("mmpareto", v)) for v in ("published", "released")] == [0.3, 0.3]  # the dataset
    file["datasets"]["cg_digits/cg_digits_conv4"] = {"protocol": {"optimiser": {"lr": 0.4}}}
    project.write("configs/methods/mmpareto.yaml", file)
    assert lr(project.cell("mmpareto")) == 0.4  # dataset and model
    project.benchmark(methods={"mmpareto": {"protocol": {"optimiser": {"lr": 0.5}}}})
    assert lr(project.cell("mmpareto")) == 0.5  # the benchmark
    assert lr(project.cell("uniform")) == 0.02  # nobody else's


def test_a_variant_brings_its_settings_and_may_have_its_protocol(project):
    published, released = (project.cell("mmpareto", v).config["method"] for v in ("published", "released"))
    assert published["settings"] != released["settings"]
    column = {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits"}
    project.write("configs/protocols/other.yaml", {"optimiser": {"lr": 0.7}, "epochs": 1, "batch_size": 8})
    project.table(columns={"cg_mnist": column | {"protocols": {"released": "other"}}})
    assert [lr(project.cell("mmpareto", v)) for v in ("published", "released")] == [0.02, 0.7]


def test_a_variant_may_have_its_own_settings_for_a_dataset(project):
    columns = {"crema_d": CREMA_D["crema_d"]}
    variants = {"pmr": ["published", "released"]}
    table = {"paper": "mmpareto", "table": "table1", "columns": columns, "rows": ["PMR"], "variants": variants}
    project.benchmark(tables=[table])
    ends = {v: project.cell("pmr", v).config["method"]["settings"]["ends"] for v in variants["pmr"]}
    assert ends == {"published": None, "released": 70}
    config = yaml.safe_load((project.root / "configs/methods/pmr.yaml").read_text())
    config["variants"]["released"]["datasets"]["crema_dd"] = {}
    project.write("configs/methods/pmr.yaml", config)
    with pytest.raises(UserError, match=r"variants\.released: datasets\.crema_dd.*did you mean 'crema_d'"):
        project.plan()


def test_titles_and_notes_are_in_no_key(project):
    before = project.cell("uniform").key
    for path in ("protocols/digits", "datasets/cg_digits", "models/cg_digits_conv4"):
        file = project.root / f"configs/{path}.yaml"
        data = yaml.safe_load(file.read_text()) | {"title": "Another title"}
        project.write(file.relative_to(project.root), data)
    assert project.cell("uniform").key == before


def test_the_same_protocol_under_another_name_is_the_same_cell(project):
    before = project.cell("uniform")
    project.write("configs/protocols/twin.yaml", (project.root / "configs/protocols/digits.yaml").read_text())
    column = {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "twin"}
    project.table(columns={"cg_mnist": column})
    assert project.cell("uniform").name == before.name


def test_merging_replaces_values_and_joins_mappings():
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merge(base, {"a": {"c": [3]}, "e": {}}) == {"a": {"b": 1, "c": [3]}, "d": 1, "e": {}}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("seeds=[0, 1]", {"seeds": [0, 1]}),
        ("evaluation.ece_bins=10", {"evaluation": {"ece_bins": 10}}),
        ("selection=best_val", {"selection": "best_val"}),
        ("a=1e-3", {"a": 0.001}),
        ("a={'b': None}", {"a": {"b": None}}),
        ("a=null", {"a": None}),
        ("a=true", {"a": True}),
        ("a=", {"a": None}),
        ("a=x=y", {"a": "x=y"}),
        ("methods={mmpareto: {settings: {gamma: 2.0}}}", {"methods": {"mmpareto": {"settings": {"gamma": 2.0}}}}),
    ],
)
def test_values_on_the_command_line_are_python_or_yaml(text, value):
    assert parse_overrides([text]) == value


def test_several_values_on_the_command_line_are_joined():
    assert parse_overrides(["a.b=1", "a.c=2", "a.b=3"]) == {"a": {"b": 3, "c": 2}}


# The files that come with the package.


def test_every_configuration_file_is_valid(repository):
    configs = Configs(repository / "configs")
    for name in configs.names("datasets"):
        data = configs.dataset(name)
        component("dataset", data.component, name).resolve(data.settings, name)
    for name in configs.names("models"):
        model = configs.model(name)
        for part in model.encoders.values():
            component("encoder", part.component, name).resolve(part.settings, name)
        if model.fusion is not None:
            component("fusion", model.fusion.component, name).resolve(model.fusion.settings, name)
    for name in configs.names("protocols"):
        assert configs.protocol(name).epochs > 0
    for name in configs.names("methods"):
        component("method", name)
        configs.method(name)


def test_every_benchmark_file_resolves(repository):
    paths = sorted((repository / "configs/benchmarks").glob("*.yaml"))
    assert paths
    for path in paths:
        plan = make_plan(repository, path)
        assert plan.benchmark.name == path.stem
        assert plan.cells


def test_the_small_project_is_what_the_tests_think(project):
    assert BENCHMARK.stem == project.plan().benchmark.name
    assert {(cell.method, cell.variant) for cell in project.plan().cells} == {
        ("joint", "published"),
        ("uniform", "published"),
        ("mmpareto", "published"),
        ("mmpareto", "released"),
    }


def test_nested_values_of_the_engines_config_get_their_types():
    given = {"seeds": ["0", "1"], "evaluation": {"ece_bins": "10"}, "job": {"minutes": "5"}, "selection": "last"}
    assert typed_overrides(given) == {
        "seeds": [0, 1],
        "evaluation": {"ece_bins": 10},
        "job": {"minutes": 5},
        "selection": "last",
    }


def test_a_stand_in_is_measured_on_its_own_names_of_the_papers_modalities(repository):
    plan = make_plan(repository, repository / "configs/benchmarks/digits_methods.yaml")
    outputs = {(value.row, value.column): plan.output(value) for value in plan.values}
    assert outputs["Audio-only", "crema_d.accuracy_audio"] == "gray"
    assert outputs["One joint loss", "crema_d.accuracy_visual"] == "probe:colour"
    assert outputs["MLB", "crema_d.accuracy_audio"] == "gray"
    assert outputs["MMPareto", "crema_d.accuracy"] == "joint"


# Refusals before anything runs.


@pytest.fixture
def without_validation(project) -> SmallProject:
    config = yaml.safe_load((project.root / "configs/datasets/cg_digits.yaml").read_text())
    config["settings"]["val_fraction"] = 0.0
    project.write("configs/datasets/cg_digits.yaml", config)
    return project


def test_selecting_by_validation_data_that_there_is_none_of_is_refused(without_validation):
    with pytest.raises(UserError, match="'selection' is best_val, and runs on dataset 'cg_digits' have no validation"):
        without_validation.plan(selection="best_val")
    assert without_validation.plan(selection="last").cells
    protocol = without_validation.root / "configs/protocols/digits.yaml"
    protocol.write_text(protocol.read_text() + "validation_fraction: 0.2\n")
    assert without_validation.plan(selection="best_val").cells


def test_a_method_that_needs_validation_data_is_refused_where_there_is_none(without_validation):
    without_validation.table(extra_methods=["g_blending"])
    without_validation.write("configs/methods/g_blending.yaml", {"protocol": {"validation_fraction": 0.0}})
    with pytest.raises(UserError, match=r"method 'g_blending' needs validation data.*'validation_fraction'"):
        without_validation.plan()


def test_a_batch_larger_than_prepared_training_data_is_refused_where_whole_batches_count(project):
    data = project.cell("uniform").data
    manifest = {"splits": {"train": {"size": 30}, "val": {"size": 5}, "test": {"size": 10}}}
    (project.root / data.directory).mkdir(parents=True)
    (project.root / data.directory / "manifest.json").write_text(json.dumps(manifest))
    assert project.plan().cells
    protocol = project.root / "configs/protocols/digits.yaml"
    protocol.write_text(protocol.read_text() + "drop_last: true\n")
    with pytest.raises(UserError, match="30 training samples give no whole batch"):
        project.plan()


@pytest.mark.parametrize(
    "torn", ["[]", "null", '{"splits": {}}', '{"splits": []}', '{"splits": {"train": {"size": "x"}}}']
)
def test_a_torn_manifest_of_prepared_data_says_nothing_of_its_size(project, torn):
    data = project.cell("uniform").data
    (project.root / data.directory).mkdir(parents=True)
    (project.root / data.directory / "manifest.json").write_text(torn)
    assert project.plan().cells


def test_the_layers_of_a_cell_name_what_sets_each_value(project):
    """In the order in which they are laid over each other."""
    file = {"protocol": {"optimiser": {"lr": 0.1}}, "variants": {"released": {"settings": {"gamma": 2.0}}}}
    project.write("configs/methods/mmpareto.yaml", file)
    project.benchmark(methods={"mmpareto": {"protocol": {"optimiser": {"lr": 0.5}}}})
    resolver = project.plan().resolver
    cell = project.cell("mmpareto", "released")
    layers = resolver.layers(component("method", "mmpareto"), resolver.names[cell.name])
    setting_rate = [layer.name for layer in layers if "lr" in layer.protocol.get("optimiser", {})]
    assert [name.rpartition("configs/")[2] for name in setting_rate] == [
        "protocols/digits.yaml",
        "methods/mmpareto.yaml",
        "benchmarks/small.yaml: methods.mmpareto",
    ]
    (setting_gamma,) = [layer.name for layer in layers if "gamma" in layer.settings]
    assert setting_gamma.endswith("methods/mmpareto.yaml: variants.released")


def test_more_tasks_than_a_method_combines_are_refused_when_planning():
    method = component("method", "mmpareto").info
    dataset = DatasetInfo(
        name="many", title="Many", task="multitask", modalities=("image",), targets=tuple("abcdefghi")
    )
    assert refusal_of_method(method, 1, None, dataset) == "MMPareto combines at most 8 tasks, not 9"
    assert refusal_of_method(component("method", "uniform").info, 1, None, dataset) == ""
    assert refusal_of_method(method, 1, None, dataclasses.replace(dataset, targets=tuple("abcdefgh"))) == ""
