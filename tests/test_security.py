"""What is fetched, produced or configured by others never runs, and never writes outside its folder."""

from __future__ import annotations

import ast
import io
import json
import pickle
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from miniature import BENCHMARK as BENCHMARK_OF_PROJECT
from miniature import Project
from small_project import BENCHMARK, SmallProject

from counterpoise.cli.app import main
from counterpoise.components import read_components
from counterpoise.data.prepared import PreparedData
from counterpoise.errors import UserError
from counterpoise.files import sha256_file, write_json
from counterpoise.models import pretrained
from counterpoise.planning.plan import make_plan
from counterpoise.runs.collect import collect
from counterpoise.runs.run import Run
from counterpoise.runs.weights import WEIGHTS, read_weights

# The one place that reads pickles of data sets, by an allow-list of its own (tests/data/test_pickles.py).
MAY_UNPICKLE = "counterpoise/data/pickles.py"
RUNS_WHAT_IT_READS = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle")
SHELLS = ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn")
BY_OPTION = {  # call -> the argument that makes it safe
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "torch.hub.load_state_dict_from_url": ("weights_only", True),
}
SAFE_YAML = ("_Loader", "yaml.SafeLoader", "yaml.CSafeLoader")


def unsafe(tree: ast.AST, path: str) -> Iterator[str]:
    """Yield every way in which a module could run what it only should read."""
    for node in ast.walk(tree):
        for found in _unsafe(node, path):
            yield f"{path}:{node.lineno}: {found}"


def _unsafe(node: ast.AST, path: str) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        of = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        yield from (name for name in of if name.split(".")[0] in RUNS_WHAT_IT_READS and path != MAY_UNPICKLE)
    if not isinstance(node, ast.Call):
        return
    name = ast.unparse(node.func)
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in ("eval", "exec", "compile", "__import__", *SHELLS) or name.endswith("read_pickle"):
        yield name
    if "shell" in given and not _is(given["shell"], False):
        yield f"{name} by a shell"
    if name.startswith("subprocess.") and node.args and not isinstance(node.args[0], ast.List | ast.Name):
        yield f"{name} of a text"
    if name in BY_OPTION and not _is(given.get(BY_OPTION[name][0]), BY_OPTION[name][1]):
        yield f"{name} without {'='.join(map(str, BY_OPTION[name]))}"
    if name in ("yaml.load", "yaml.load_all") and ast.unparse(given.get("Loader") or node) not in SAFE_YAML:
        yield f"{name} with another loader"
    if name in ("yaml.unsafe_load", "yaml.full_load"):
        yield name


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_nothing_in_the_source_runs_what_it_reads(repository):
    home = repository / "src"
    files = sorted(home.rglob("*.py"))
    assert len(files) > 100
    found = [line for file in files for line in unsafe(ast.parse(file.read_text()), str(file.relative_to(home)))]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.load(text)",
        "yaml.unsafe_load(text)",
        "eval(text)",
        "exec(text)",
        "os.system(text)",
        "subprocess.run(command, shell=True)",
        "subprocess.run(f'git {name}')",
        "pd.read_pickle(path)",
    ],
)
def test_the_search_finds_it(code):
    assert list(unsafe(ast.parse(code), "a.py"))


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path, mmap_mode='r', allow_pickle=False)",
        "yaml.load(text, Loader=_Loader)",
        "subprocess.run(['git', name])",
        "network.eval()",
        "ast.literal_eval(text)",
    ],
)
def test_the_search_leaves_what_is_safe(code):
    assert not list(unsafe(ast.parse(code), "a.py"))


# Files that would do something if they were unpickled.


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple:
        return Path.touch, (self.sprung,)


@pytest.fixture
def sprung(tmp_path) -> Path:
    """The file that a trap makes; the trap works where pickles are read."""
    path = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(path)))
    assert path.exists()
    path.unlink()
    return path


def object_array(trap: Trap) -> bytes:
    data = io.BytesIO()
    np.save(data, np.array([trap], dtype=object), allow_pickle=True)
    return data.getvalue()


@pytest.fixture
def run(tmp_path, repository) -> tuple[SmallProject, Path]:
    project = SmallProject(tmp_path / "project", repository)
    return project, project.run(project.cell("uniform"), 0)


def replace(folder: Path, name: str, data: bytes) -> None:
    """Put other bytes in a run's place, with a record that agrees: who can write one can write the other."""
    (folder / name).write_bytes(data)
    record = json.loads((folder / "record.json").read_text())
    record["files"][name] = sha256_file(folder / name)
    write_json(folder / "record.json", record)


@pytest.mark.parametrize("how", ["an array of objects", "a pickle"])
def test_predictions_are_never_unpickled(run, sprung, how):
    project, folder = run
    trap = Trap(sprung)
    if how == "a pickle":
        data = pickle.dumps(trap)
    else:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("labels.digit.npy", object_array(trap))
            archive.writestr("last.logits.joint.npy", object_array(trap))
        data = packed.getvalue()
    replace(folder, "predictions.npz", data)
    with pytest.raises(UserError, match=r"predictions\.npz"):
        collect(project.plan(), project.root)
    assert not sprung.exists()


def test_kept_weights_are_never_unpickled(run, sprung):
    project, folder = run
    replace(folder, WEIGHTS, pickle.dumps(Trap(sprung)))
    with pytest.raises(UserError, match=r"weights\.safetensors: holds no readable weights.*; delete"):
        read_weights(Run(cell=project.cell("uniform"), seed=0, root=project.root))
    assert not sprung.exists()


def test_published_weights_are_never_unpickled(sprung, tmp_path, monkeypatch):
    weights = next(iter(pretrained.WEIGHTS.values()))
    (tmp_path / weights.file).write_bytes(pickle.dumps(Trap(sprung)))
    monkeypatch.setattr(pretrained, "check_digest", lambda path, weights: None)
    with pytest.raises(Exception):  # noqa: B017 - whoever refuses it
        pretrained.PretrainedWeights((tmp_path,)).state(weights.name)
    assert not sprung.exists()


def test_prepared_arrays_are_never_unpickled(sprung, tmp_path):
    (tmp_path / "id.npy").write_bytes(object_array(Trap(sprung)))
    manifest = {"splits": {"train": {"size": 1, "arrays": {"id": {"file": "id.npy"}}}}}
    with pytest.raises(UserError, match="cannot be read"):
        PreparedData(tmp_path, manifest).array("train", "id")
    assert not sprung.exists()


# Names that would lead out of a folder, or say something to a shell.

OUTSIDE = ["../../x", "/x", "a/../../b", "..", ".", "a/b/../..", "~/x"]
TO_A_SHELL = ["x; touch pwned", "$(touch pwned)", "`touch pwned`", "x && touch pwned", "x\ntouch pwned", "x|y", "a b"]


def by_key(*keys: str) -> list[tuple[str, str]]:
    """Every name for the first of some keys that are checked by the same pattern, one of each kind for the others."""
    first, *others = keys
    return [(first, name) for name in (*OUTSIDE, *TO_A_SHELL)] + [(k, n) for k in others for n in ("../../x", "a b")]


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> SmallProject:
    """A project whose benchmark the tests write anew each time."""
    return SmallProject(tmp_path_factory.mktemp("named") / "project", repository)


@pytest.fixture
def whole(project) -> Iterator[dict]:
    """The benchmark file's content, which is put back in the end."""
    data = project.benchmark()
    yield data
    project.write(BENCHMARK, data)


def refused(project: SmallProject, capsys) -> str:
    """Give the project's benchmark to the command line, which has to refuse it in one line."""
    before = sorted(project.root.parent.rglob("*"))
    assert main(["plan", "--benchmark", str(BENCHMARK), "--root", str(project.root)]) == 2
    assert sorted(project.root.parent.rglob("*")) == before
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize(("key", "name"), [*by_key("dataset", "model"), *by_key("protocol")])
def test_names_of_a_column_stay_names(project, whole, capsys, key, name):
    (table,) = whole["tables"]
    column = table["columns"]["cg_mnist"]
    # Where the name leads there is a file, so that it is not refused for there being none.
    place = (project.root / f"configs/{key}s/{name}.yaml").resolve()
    if place.is_relative_to(project.root):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text((project.root / f"configs/{key}s/{column[key]}.yaml").read_text())
    columns = {"cg_mnist": column | {key: name}}
    project.write(BENCHMARK, whole | {"tables": [table | {"columns": columns}]})
    assert f"{key}' is" in refused(project, capsys)
    place.unlink(missing_ok=True)


@pytest.mark.parametrize(("key", "name"), [(key, name) for key in ("paper", "table") for name in ("../../x", "a b")])
def test_names_of_papers_and_tables_stay_names(project, whole, capsys, key, name):
    (table,) = whole["tables"]
    project.write(BENCHMARK, whole | {"tables": [table | {key: name}]})
    refused(project, capsys)


@pytest.mark.parametrize("name", [*OUTSIDE, *TO_A_SHELL])
def test_a_paper_whose_table_calls_itself_by_such_a_name_is_refused(project, whole, capsys, name):
    file = project.root / "configs/papers/mmpareto/table3.yaml"
    text = file.read_text()
    file.write_text(yaml.safe_dump(yaml.safe_load(text) | {"table": name}))
    assert "'table'" in refused(project, capsys)
    file.write_text(text)


@pytest.mark.parametrize("name", [*OUTSIDE, *TO_A_SHELL])
def test_a_benchmark_of_such_a_name_is_refused(project, whole, capsys, name):
    project.write(BENCHMARK, whole | {"name": name})
    assert "'name' is" in refused(project, capsys)


@pytest.mark.parametrize(("what", "name"), by_key("name", "variant"))
def test_a_third_partys_method_of_such_a_name_is_refused(tmp_path, name, what):
    names = {"name": "plain", "variant": "published"} | {what: name}
    file = tmp_path / "third.py"
    file.write_text(
        "from counterpoise.declare import method\n"
        f"@method(name={names['name']!r}, title='T', family='loss', paper='', source='',"
        f" variants={{{names['variant']!r}: {{}}}})\n"
        "class Third:\n    pass\n"
    )
    with pytest.raises(UserError, match="must be of letters"):
        read_components("method", "third", file)


@pytest.mark.slow
def test_what_a_benchmark_says_never_reaches_the_shell_of_a_rule(tmp_path, repository):
    title = "T'; touch pwned; $(touch pwned) `touch pwned` {COMMON} {wildcards}"
    project = Project.create(tmp_path / "project", repository, title=title)
    hostile = "configs/benchmarks/x; touch pwned; $(touch pwned).yaml"
    (project.root / BENCHMARK_OF_PROJECT).rename(project.root / hostile)
    data = next(iter(make_plan(project.root, project.root / hostile).datasets))
    replaced = ["--config", f"note={title}", "title=;touch pwned"]
    command = ["snakemake", f"data/raw/{data.directory.name}.json", "--cores", "1", "--configfile", hostile]
    run = {"cwd": project.root, "env": project.environment(), "capture_output": True, "text": True}
    done = subprocess.run([*command, *replaced], check=False, **run)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not list(project.root.rglob("pwned*"))


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_paper_that_lists_a_table_of_such_a_name_is_refused(project, whole, capsys, name):
    file = project.root / "configs/papers/mmpareto/paper.yaml"
    text = file.read_text()
    data = yaml.safe_load(text)
    file.write_text(yaml.safe_dump(data | {"tables": [*data["tables"], name]}))
    assert "'tables" in refused(project, capsys)
    file.write_text(text)
