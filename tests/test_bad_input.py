"""Bad input ends in one clear line that names what and where, exit code 2, and nothing lost.

Each test runs the command line in a project of its own and looks at what it says and leaves behind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from permissions import bound_by_permissions
from small_project import BENCHMARK, SmallProject

from counterpoise.cli.app import main
from counterpoise.runs.status import State, run_status


@pytest.fixture
def project(tmp_path, repository) -> SmallProject:
    return SmallProject(tmp_path / "project", repository)


def contents(root: Path) -> dict[str, str]:
    """Every file below ``root`` with a digest of its bytes."""
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.fixture
def refused(project, capsys) -> Callable[..., str]:
    """Run a command that must refuse; return its one line. No file may have come, gone or changed."""

    def run(*arguments: str, benchmark: Path = BENCHMARK) -> str:
        before = contents(project.root)
        code = main([*arguments, "--root", str(project.root), "--benchmark", str(benchmark)])
        said = capsys.readouterr()
        assert code == 2, said
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert line.startswith("error: ")
        assert contents(project.root) == before
        return line

    return run


def names(line: str, *parts: str) -> bool:
    missing = [part for part in parts if part not in line]
    assert not missing, f"{missing} not in: {line}"
    return True


# The benchmark file.


def test_a_copy_with_an_unchanged_name_would_overwrite_results(project, refused):
    project.write("configs/benchmarks/dup.yaml", (project.root / BENCHMARK).read_text().replace("- 1", "- 2", 1))
    for benchmark in (Path("configs/benchmarks/dup.yaml"), BENCHMARK):
        line = refused("show", benchmark=benchmark)
        assert names(line, "dup.yaml", "small.yaml", "'name' is 'small'", "results/small")
    assert names(refused("show", benchmark=Path("configs/benchmarks/dup.yaml")), "'name: dup'")


def test_an_equal_copy_of_a_benchmark_elsewhere_is_the_same_benchmark(project, tmp_path):
    copy = tmp_path / "copy.yaml"
    copy.write_text((project.root / BENCHMARK).read_text())
    assert main(["plan", "--root", str(project.root), "-b", str(copy)]) == 0


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"seeds": []}, ["'seeds'", "[]", "at least 1"]),
        ({"seeds": [0, 1, 0]}, ["seeds", "distinct", "0"]),
        ({"seeds": [0, -1]}, ["seeds", "-1", "0 or more"]),
        ({"seeds": 3}, ["'seeds' is 3", "a list"]),
        ({"seeds": [0, "one"]}, ["'seeds.1' is 'one'", "a whole number"]),
        ({"seeds": [0, 1.5]}, ["'seeds.1' is 1.5", "a whole number"]),
        ({"seeds": [True]}, ["'seeds.0' is True", "a whole number"]),
        ({"seeds": ["0"]}, ["'seeds.0' is '0'", "a whole number"]),
        ({"seeds": None}, ["'seeds' is None", "a list"]),
        ({"seeds_per_job": 2}, ["unknown key 'seeds_per_job'"]),
        ({"job": {"runs_per_gpu": 0}}, ["'job.runs_per_gpu' is 0", "1 or more"]),
        ({"job": {"runs_per_gpu": 0.5}}, ["'job.runs_per_gpu' is 0.5", "a whole number"]),
        ({"selection": "best_vall"}, ["'best_vall'", "did you mean 'best_val'", "'last'"]),
        ({"evaluation": {"ece_bins": 0}}, ["'evaluation.ece_bins' is 0", "more than 0"]),
        ({"evaluation": {"ece_bin": 10}}, ["unknown key 'evaluation.ece_bin'", "did you mean 'ece_bins'"]),
        ({"evaluation": 15}, ["'evaluation' is 15", "a mapping"]),
        ({"sedes": [0]}, ["unknown key 'sedes'", "did you mean 'seeds'"]),
        ({"title": 7}, ["'title' is 7", "text"]),
        ({"name": "../up"}, ["'name' is '../up'"]),
        ({"tables": []}, ["'tables' is []", "at least 1"]),
        ({"methods": {"mmpareta": {}}}, ["methods", "unknown method 'mmpareta'", "did you mean 'mmpareto'"]),
    ],
)
def test_a_wrong_key_or_value_of_a_benchmark(project, refused, changes, parts):
    project.benchmark(**changes)
    assert names(refused("plan"), "small.yaml", *parts)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"paper": "mmpareta"}, ["no paper 'mmpareta'", "did you mean 'mmpareto'"]),
        ({"table": "table33"}, ["no table 'table33'", "did you mean 'table3'"]),
        ({"columns": {"cgmnist": {}}}, ["columns.cgmnist.dataset", "is missing"]),
        ({"rows": []}, ["rows", "at least 1"]),
        ({"rows": ["MMParet"]}, ["unknown row 'MMParet'", "did you mean 'MMPareto'"]),
        ({"rows": ["MMPareto", "MMPareto"]}, ["rows", "distinct", "MMPareto"]),
        ({"variants": {"mmpareta": ["published"]}}, ["unknown method 'mmpareta'", "did you mean 'mmpareto'"]),
        ({"variants": {"mmpareto": ["publishd"]}}, ["no variant 'publishd'", "did you mean 'published'"]),
        ({"variants": {"mmpareto": []}}, ["variants.mmpareto", "at least 1"]),
        ({"extra_methods": ["unimodl"]}, ["unknown method 'unimodl'", "did you mean 'unimodal'"]),
        ({"extra_methods": ["mmpareto"]}, ["extra_methods", "'mmpareto'", "already"]),
    ],
)
def test_a_wrong_name_in_a_table_of_a_benchmark(project, refused, changes, parts):
    project.table(**changes)
    assert names(refused("plan"), "small.yaml", *parts)


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("dataset", "cg_digit", ["no dataset 'cg_digit'", "did you mean 'cg_digits'", "configs/datasets"]),
        ("dataset", "../cg_digits", ["dataset", "'../cg_digits'"]),
        ("dataset", "multi_digits", ["'multi_digits' has no modality 'gray'", "allowed: image"]),
        ("model", "cg_digits_conv5", ["no model 'cg_digits_conv5'", "did you mean 'cg_digits_conv4'"]),
        ("model", "multi_digits_lenet", ["multi_digits_lenet.yaml", "no modality 'image'", "gray"]),
        ("protocol", "digit", ["no protocol 'digit'", "did you mean 'digits'"]),
        ("protocol", "/etc/passwd", ["protocol", "'/etc/passwd'"]),
        ("protocls", "digits", ["unknown key", "protocls", "did you mean 'protocols'"]),
    ],
)
def test_a_wrong_name_in_a_column_group(project, refused, key, value, parts):
    column = {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits", key: value}
    project.table(columns={"cg_mnist": column})
    assert names(refused("plan"), *parts)


def test_an_unknown_column_group(project, refused):
    column = {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits"}
    project.table(columns={"cgmnist": column})
    assert names(refused("plan"), "unknown column group 'cgmnist'", "did you mean 'cg_mnist'")


def test_a_table_that_is_given_twice(project, refused):
    (table,) = project.benchmark()["tables"]
    project.benchmark(tables=[table, table])
    assert names(refused("plan"), "small.yaml", "tables", "distinct", "mmpareto.table3")


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        ({"settings": {"gama": 2.0}}, ["unknown key 'gama'", "did you mean 'gamma'"]),
        ({"settings": {"gamma": 0}}, ["'gamma' is 0", "more than 0"]),
        ({"settings": {"gamma": "big"}}, ["'gamma' is 'big'", "a number"]),
        ({"protocol": {"optimiser": {"lr": 0}}}, ["'optimiser.lr' is 0", "more than 0"]),
        ({"protocol": {"optimiser": {"lr": -0.1}}}, ["'optimiser.lr' is -0.1", "more than 0"]),
        ({"protocol": {"optimiser": {"name": "sdg"}}}, ["'sdg'", "did you mean 'sgd'"]),
        ({"protocol": {"epochs": 0}}, ["'epochs' is 0", "more than 0"]),
        ({"protocol": {"batch_size": 2.5}}, ["'batch_size' is 2.5", "a whole number"]),
        ({"protocol": {"epoch": 3}}, ["unknown key 'epoch'", "did you mean 'epochs'"]),
        ({"setting": {}}, ["unknown key", "setting", "did you mean 'settings'"]),
    ],
)
def test_a_wrong_setting_of_a_method(project, refused, method, parts):
    project.benchmark(methods={"mmpareto": method})
    assert names(refused("plan"), "small.yaml", "mmpareto", *parts)


# Other configuration files.


@pytest.mark.parametrize(
    ("path", "old", "new", "parts"),
    [
        ("datasets/cg_digits", "variance: 0.03", "variance: -1", ["'variance' is -1"]),
        ("datasets/cg_digits", "variance:", "varianse:", ["unknown key 'varianse'", "'variance'"]),
        ("datasets/cg_digits", "component: cg_digits", "component: cg_digit", ["unknown dataset 'cg_digit'"]),
        ("models/cg_digits_conv4", "component: conv4", "component: conv5", ["unknown encoder 'conv5'", "conv4"]),
        ("models/cg_digits_conv4", "channels: 8", "channels: 0", ["'channels' is 0"]),
        ("models/cg_digits_conv4", "component: concat", "component: cat", ["unknown fusion 'cat'", "concat"]),
        ("protocols/digits", "epochs: 6", "epochs: 6\nepochs: 30", ["'epochs' is given twice"]),
        ("protocols/digits", "momentum: 0.9", "momentum: 1.0", ["'optimiser.momentum' is 1.0", "less than 1"]),
        ("protocols/digits", "lr: 0.02", "lr: .inf", [".inf is not a finite number"]),
    ],
)
def test_a_mistake_in_another_file_names_that_file(project, refused, path, old, new, parts):
    file = project.root / "configs" / f"{path}.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    assert names(refused("plan"), f"{path}.yaml", *parts)


@pytest.mark.parametrize(
    ("name", "data", "parts"),
    [
        ("mmpareta", {}, ["mmpareta.yaml", "unknown method 'mmpareta'", "did you mean 'mmpareto'"]),
        ("mmpareto", {"variants": {"publishd": {}}}, ["mmpareto.yaml", "'publishd'", "'published'"]),
        ("mmpareto", {"datasets": {"cg_digit": {}}}, ["mmpareto.yaml", "no dataset 'cg_digit'", "'cg_digits'"]),
        ("mmpareto", {"datasets": {"cg_digits/x": {}}}, ["mmpareto.yaml", "no model 'x'"]),
        ("mmpareto", {"setings": {}}, ["mmpareto.yaml", "unknown key 'setings'", "'settings'"]),
    ],
)
def test_a_mistake_in_a_methods_file(project, refused, name, data, parts):
    project.write(f"configs/methods/{name}.yaml", data)
    assert names(refused("plan"), *parts)


def test_an_unknown_metric_of_a_paper(project, refused):
    path = project.root / "configs/papers/mmpareto/table3.yaml"
    path.write_text(path.read_text().replace("metric: accuracy", "metric: acuracy", 1))
    assert names(refused("plan"), "table3.yaml", "'acuracy'", "did you mean 'accuracy'")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("name: small\nseeds: [0, 1", ["small.yaml:", "not readable as YAML", "',' or ']'"]),
        ("name: small\n\tseeds: [0]", ["small.yaml:2:", "not readable as YAML"]),
        ("name: small\nseeds: [0]\nname: other", ["small.yaml:3:1", "'name' is given twice"]),
        ("", ["small.yaml", "is empty"]),
        ("- a\n- b", ["small.yaml", "must be a mapping"]),
        ("? [a, b]\n: c", ["small.yaml:1:", "a key must be plain text"]),
        ("name: !!python/object/apply:os.system [true]", ["small.yaml:1:", "python/object"]),
    ],
)
def test_a_file_that_is_not_the_yaml_it_should_be(project, refused, text, parts):
    project.write(BENCHMARK, text)
    assert names(refused("plan"), *parts)


def test_a_file_that_is_not_text(project, refused):
    (project.root / BENCHMARK).write_bytes(b"name: \xff\xfe")
    assert names(refused("plan"), "small.yaml", "not UTF-8")


@pytest.mark.parametrize("given", ["configs/benchmarks/smal.yaml", "configs/benchmark/small.yml", "smal"])
def test_a_benchmark_that_is_not_there(refused, given):
    assert names(refused("plan", benchmark=Path(given)), given, "no such benchmark", "'small'")


def test_a_folder_in_place_of_a_benchmark(refused):
    assert names(refused("plan", benchmark=Path("configs/benchmarks")), "configs/benchmarks", "a folder")


# The command line itself.


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["plam"], ["plam", "plan"]),
        (["plan", "--cels"], ["--cels", "--cells"]),
        (["plan", "--set", "seeds"], ["--set seeds", "key=value"]),
        (["plan", "--set", "=1"], ["--set =1"]),
        (["plan", "--set", "seeds=[0"], ["--set seeds=[0", "not readable"]),
        (["plan", "--set", "selection=best"], ["selection", "'best'", "'best_test'"]),
        (["plan", "--set", "evaluation.ece_bins=-1"], ["evaluation.ece_bins", "-1", "more than 0"]),
        (["table", "mmpareta.table3"], ["'mmpareta.table3'", "mmpareto.table3"]),
        (["table", "mmpareto.table33"], ["'mmpareto.table33'", "mmpareto.table3"]),
        (["table", "mmpareto.table3", "--format", "cvs"], ["--format cvs", "did you mean 'csv'"]),
        (["diff", "mlb"], ["'mlb'", "mmpareto"]),
        (["trace", "mmpareto.table3"], ["<paper>.<table>.<row>.<column>"]),
        (["prepare", "cg_digit"], ["'cg_digit'", "did you mean 'cg_digits'"]),
        (["train", "nothing/of/the-kind.0123", "--seed", "0"], ["no cell 'nothing/of/the-kind.0123'"]),
        (["train", "nothing/of/the-kind.0123", "--seed", "-1"], ["--seed"]),
        (["train", "nothing/of/the-kind.0123"], ["--seed"]),
    ],
)
def test_a_wrong_argument(refused, arguments, parts):
    assert names(refused(*arguments), *parts)


def test_an_unknown_format(project, capsys):
    assert main(["values", "mmpareto", "--format", "cvs", "--root", str(project.root)]) == 2
    assert names(capsys.readouterr().err, "--format cvs", "did you mean 'csv'")


# Files of runs.


@pytest.fixture
def run(project) -> Path:
    """A finished run of the uniform baseline."""
    return project.run(project.cell("uniform"), 0)


@pytest.fixture
def report(refused) -> Callable[[], str]:
    return lambda: refused("report")


def test_truncated_predictions(run, report):
    path = run / "predictions.npz"
    path.write_bytes(path.read_bytes()[:-100])
    assert names(report(), str(path), "record", "counterpoise run")


def test_predictions_that_are_something_else(project, run, report):
    path = run / "predictions.npz"
    path.write_bytes(b"no archive")
    record = json.loads((run / "record.json").read_text())
    record["files"]["predictions.npz"] = hashlib.sha256(b"no archive").hexdigest()
    (run / "record.json").write_text(json.dumps(record))
    assert names(report(), str(path), "predictions")


def test_missing_predictions(run, report):
    (run / "predictions.npz").unlink()
    assert names(report(), "predictions.npz", "not there")


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1, "key"'])
def test_a_truncated_record(run, report, text):
    path = run / "record.json"
    path.write_text(text)
    assert names(report(), str(path), "truncated or not JSON", "counterpoise run")


@pytest.mark.parametrize("change", [{"key": "0123456789ab"}, {"seed": 1}, {"schema": 99}, {"files": {"../x": ""}}])
def test_a_record_of_someone_else(project, run, report, change):
    record = json.loads((run / "record.json").read_text())
    (run / "record.json").write_text(json.dumps(record | change))
    assert names(report(), "record.json", f"'{next(iter(change))}")


def test_one_broken_run_is_told_by_status_and_stops_no_other(project, run, capsys):
    (run / "record.json").write_text("{")
    cell = project.cell("uniform")
    project.run(cell, 1)
    assert main(["status", "--root", str(project.root), "--benchmark", str(BENCHMARK)]) == 0
    said = capsys.readouterr().out
    assert "1 broken" in said
    assert "record.json" in said
    assert run_status(project.root, cell, 1).state is State.FRESH


# Places that cannot be written. Root may write anywhere, so what stands in the way is a file or a folder.


def test_a_file_where_the_results_should_go(project, refused):
    project.write("results", "in the way\n")
    assert names(refused("report"), "results")
    assert (project.root / "results").read_text() == "in the way\n"


def test_a_results_folder_without_write_permission(project, run, report):
    (project.root / "results").chmod(0o500)
    try:
        with bound_by_permissions():
            assert names(report(), "results", "cannot be written")
    finally:
        (project.root / "results").chmod(0o700)


# What is refused by gc loses nothing either.


def test_nothing_is_deleted_without_yes(project, run, capsys):
    protocol = project.root / "configs/protocols/digits.yaml"
    protocol.write_text(protocol.read_text().replace("epochs: 6", "epochs: 7"))
    before = contents(project.root)
    options = ["--root", str(project.root), "--benchmark", str(BENCHMARK)]
    assert main(["gc", *options]) == 0
    assert contents(project.root) == before
    assert str(run.parent) in capsys.readouterr().out
    assert main(["gc", "--yes", *options]) == 0
    assert not run.exists()


def test_nothing_is_deleted_while_a_benchmark_cannot_be_read(project, run, refused):
    protocol = project.root / "configs/protocols/digits.yaml"
    protocol.write_text(protocol.read_text().replace("epochs: 6", "epochs: 7"))
    project.write("configs/benchmarks/other.yaml", yaml.safe_dump({"name": "other"}))
    assert names(refused("gc", "--yes"), "other.yaml")


# Commands that are nearly right.


@pytest.fixture
def answered(project, monkeypatch, capsys) -> Callable[..., str]:
    """Run a command that must refuse, in the project, which has a second benchmark; return its line."""
    other = yaml.safe_load((project.root / BENCHMARK).read_text()) | {"name": "other"}
    other["tables"][0] |= {"table": "table8", "rows": ["One joint loss"], "variants": {}}
    project.write("configs/benchmarks/other.yaml", other)
    (project.root / "results/published/small").mkdir(parents=True)
    monkeypatch.chdir(project.root)

    def run(*arguments: str) -> str:
        assert main(arguments) == 2
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "small"], "did you mean '-b small' for the benchmark or '-r small' for the published record?"),
        (["plan", "other"], "did you mean '-b other' for the benchmark?"),
        (["show", "nothing"], "see 'counterpoise show --help'"),
        (["init"], "'counterpoise new project' makes a project"),
        (["xyzzy"], "'counterpoise --help' lists them"),
        (["table", "mmpareto.table8", "-b", "small"], "; '-b other' has it"),
        (["trace", "mmpareto.table8.MMPareto.x", "-b", "small"], "; '-b other' has it"),
        (["plan", "-b", "small", "--set", "mirror=/no/such/folder"], "no folder '/no/such/folder'; the nearest"),
        (["plan", "-b", "small", "--set", "mirror=confgs"], "did you mean 'configs'?"),
        (["run", "-b", "small", "--set", "mirror=/no/such/folder"], "key 'mirror'"),
        (["plan", "-b", "small", "--set", "data_roots={cg_mnst: x}"], "small.yaml: data_roots: unknown"),
    ],
)
def test_what_is_nearly_right_is_answered_by_what_is(answered, arguments, said):
    assert said in answered(*arguments)


def test_results_that_are_no_record_name_the_option_for_them(project, answered):
    project.write("results/small/basis.json", "{}")
    assert "'-b small' means them" in answered("verify", "results/small")


def test_datasets_outside_of_a_project_name_the_way_in(tmp_path_factory, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path_factory.mktemp("nowhere"))
    assert main(["data", "fetch", "cmu_mosi"]) == 2
    assert "not inside a Counterpoise project" in capsys.readouterr().err
