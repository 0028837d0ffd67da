"""A key changes with everything that can change a run's numbers, and with nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from counterpoise import identity
from counterpoise.errors import UserError
from counterpoise.identity import closure, digest, file_digest, module_file, source_digest
from counterpoise.planning.plan import make_plan

# A project in a folder of its own: package, configurations, and a small benchmark over two tables.

BENCHMARK = {
    "name": "small",
    "title": "Small",
    "seeds": [0],
    "tables": [
        {
            "paper": "mmpareto",
            "table": "table3",
            "columns": {"cg_mnist": {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits"}},
            "variants": {"mmpareto": ["published", "released"]},
        },
        {
            "paper": "mmpareto",
            "table": "table5",
            "columns": {
                "multi_mnist": {"dataset": "multi_digits", "model": "multi_digits_lenet", "protocol": "digits"}
            },
        },
    ],
}
PROGRAM = """
import json, sys
from pathlib import Path
from counterpoise.planning.plan import make_plan
plan = make_plan(Path(), Path("configs/benchmarks/small.yaml"))
cells = {f"{c.dataset}/{c.method}-{c.variant}": c.key for c in plan.cells}
assert not {"torch", "torchvision", "sklearn"} & set(sys.modules), "planning imported torch"
print(json.dumps({"cells": cells, "seeds": plan.seeds, "data": {d.name: d.key for d in plan.datasets}}))
"""


class Project:
    """A copy of the package and its configurations that a test may change."""

    def __init__(self, root: Path, source: Path) -> None:
        self.root = root
        ignored = shutil.ignore_patterns("__pycache__")
        for folder in ("configs", "src/counterpoise"):
            shutil.copytree(source / folder, root / folder, ignore=ignored)
        self.write("configs/benchmarks/small.yaml", BENCHMARK)

    def write(self, path: str, data: object) -> None:
        (self.root / path).write_text(yaml.safe_dump(data))

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        file = self.root / path
        text = file.read_text()
        changed = change(text)
        assert changed != text, f"the edit of {path} changed nothing"
        file.write_text(changed)

    def plan(self, **environment: str) -> dict:
        """Return the plan's keys as a new process finds them."""
        found = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root / "src"), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory, repository) -> Project:
    return Project(tmp_path_factory.mktemp("untouched"), repository)


@pytest.fixture(scope="module")
def before(untouched) -> dict:
    return untouched.plan()


@pytest.fixture
def project(tmp_path, untouched) -> Project:
    return Project(tmp_path, untouched.root)


def changed_cells(before: dict, after: dict) -> set[str]:
    assert before["cells"].keys() == after["cells"].keys()
    return {name for name, key in before["cells"].items() if after["cells"][name] != key}


def test_comments_docstrings_formatting_and_documents_change_no_key(project, before):
    def reformat(text: str) -> str:
        commented = text.replace("\nclass ", "\n# A remark.\n\n\nclass ", 1).replace('"""', '"""Other words. ', 1)
        return commented + "\n\n# The end.\n"

    for module in ("methods/mmpareto", "engine/loop", "data/datasets/cg_digits", "models/conv4", "data/store"):
        project.edit(f"src/counterpoise/{module}.py", reformat)
    (project.root / "README.md").write_text("# Other words\n")
    project.edit("configs/protocols/digits.yaml", lambda text: text.replace("title:", "# A remark.\ntitle: New", 1))
    project.edit("configs/datasets/cg_digits.yaml", lambda text: text.replace("title:", "title: New", 1))
    after = project.plan()
    assert (after["cells"], after["data"]) == (before["cells"], before["data"])


def test_other_words_in_errors_and_other_types_in_signatures_change_no_key(project, before):
    project.edit(
        "src/counterpoise/models/interface.py",
        lambda text: text.replace("raise NotImplementedError", 'raise NotImplementedError("in other words")'),
    )
    project.edit("src/counterpoise/engine/splits.py", lambda text: text.replace("this run has no split", "no split"))
    project.edit("src/counterpoise/engine/streams.py", lambda text: text.replace("seed: int", "seed: int | None"))
    project.edit("src/counterpoise/errors.py", lambda text: text + "\n\nNEW = 1\n")
    assert project.plan()["cells"] == before["cells"]


def test_a_changed_constant_of_a_formula_changes_the_key(project, before):
    project.edit("src/counterpoise/methods/min_norm.py", lambda text: text.replace("2 * mu", "3 * mu"))
    changed = changed_cells(before, project.plan())
    assert {"cg_digits/mmpareto-published", "multi_digits/mmpareto-published"} <= changed
    assert "cg_digits/gradnorm-published" not in changed


def test_a_changed_formula_changes_its_methods_cells_alone(project, before):
    project.edit("src/counterpoise/methods/mmpareto.py", lambda text: text + "\n\nNEW_NUMBER = 1\n")
    changed = changed_cells(before, project.plan())
    assert changed == {"cg_digits/mmpareto-published", "cg_digits/mmpareto-released", "multi_digits/mmpareto-published"}


def test_a_changed_helper_changes_the_cells_of_everything_that_imports_it(project, before):
    project.edit("src/counterpoise/data/colour.py", lambda text: text + "\n\nNEW_NUMBER = 1\n")
    changed = changed_cells(before, project.plan())
    assert changed == {name for name in before["cells"] if name.startswith("cg_digits/")}


def test_a_changed_training_loop_changes_every_cell_and_no_data(project, before):
    project.edit("src/counterpoise/engine/loop.py", lambda text: text + "\n\nNEW_NUMBER = 1\n")
    after = project.plan()
    assert changed_cells(before, after) == set(before["cells"])
    assert after["data"] == before["data"]


def test_the_learning_rate_of_one_method_changes_exactly_its_cells(project, before):
    settings = {"methods": {"gradnorm": {"protocol": {"optimiser": {"lr": 0.031}}}}}
    project.write("configs/benchmarks/small.yaml", BENCHMARK | settings)
    changed = changed_cells(before, project.plan())
    assert changed == {"cg_digits/gradnorm-published", "multi_digits/gradnorm-published"}


def test_a_dataset_setting_changes_its_data_and_exactly_its_cells(project, before):
    project.edit("configs/datasets/cg_digits.yaml", lambda text: text.replace("variance: 0.03", "variance: 0.04"))
    after = project.plan()
    assert changed_cells(before, after) == {name for name in before["cells"] if name.startswith("cg_digits/")}
    assert after["data"]["cg_digits"] != before["data"]["cg_digits"]
    assert after["data"]["multi_digits"] == before["data"]["multi_digits"]


def test_changed_preparation_code_changes_the_data_and_its_cells(project, before):
    project.edit("src/counterpoise/data/datasets/multi_digits.py", lambda text: text + "\n\nNEW_NUMBER = 1\n")
    after = project.plan()
    changed = changed_cells(before, after)
    assert changed == {name for name in before["cells"] if name.startswith("multi_digits/")}
    assert after["data"]["cg_digits"] == before["data"]["cg_digits"]


def test_seeds_and_their_batches_are_in_no_key(project, before):
    project.write("configs/benchmarks/small.yaml", BENCHMARK | {"seeds": [5, 6, 7]})
    after = project.plan()
    assert after["seeds"] == [5, 6, 7]
    assert after["cells"] == before["cells"]


def test_what_is_added_to_a_benchmark_leaves_the_keys_that_were_there(project, before):
    tables = [BENCHMARK["tables"][0] | {"extra_methods": ["mlb"]}, BENCHMARK["tables"][1]]
    project.write("configs/benchmarks/small.yaml", BENCHMARK | {"tables": tables, "selection": "best_test"})
    after = project.plan()
    assert len(after["cells"]) > len(before["cells"])
    assert {name: after["cells"][name] for name in before["cells"]} == before["cells"]


@pytest.mark.parametrize("seed", ["1", "2"])
def test_keys_are_the_same_in_every_process(project, before, seed):
    assert project.plan(PYTHONHASHSEED=seed) == before


# What a key rests on. MMPareto on conv4 rested on 43 files with 5,886 lines once, ten of which computed no number.

MMPARETO = (
    *("counterpoise.engine.training", "counterpoise.engine.exactness", "counterpoise.methods.mmpareto"),
    *("counterpoise.models.conv4", "counterpoise.models.concat"),
)
COMPUTING = {
    "data": {"axes", "batches", "memory", "transforms"},
    "engine": {
        *("control", "evaluation", "exactness", "gradients", "loop", "optimiser", "selection", "splits", "state"),
        *("step", "streams", "training"),
    },
    "methods": {"interface", "min_norm", "mmpareto"},
    "models": {"build", "concat", "conv4", "interface", "network", "tasks"},
}


def test_a_key_rests_on_what_computes_numbers_and_on_nothing_else():
    """A module that enters here is in every key from then on: it must compute numbers."""
    expected = {f"counterpoise.{layer}.{name}" for layer, names in COMPUTING.items() for name in names}
    expected |= {f"counterpoise.{layer}" for layer in COMPUTING}
    found = closure(MMPARETO)
    assert set(found) == expected
    assert sum(len(path.read_text().splitlines()) for path in found.values()) < 3500


def test_the_modules_of_a_planned_cell_are_those(repository):
    plan = make_plan(repository, repository / "configs/benchmarks/digits.yaml")
    (cell,) = [c for c in plan.cells if (c.dataset, c.method, c.variant) == ("cg_digits", "mmpareto", "published")]
    assert set(cell.modules) == set(MMPARETO)


# The source that is loaded is compared with the one that was planned.

LATE = """
import sys
from pathlib import Path
from counterpoise.planning.plan import make_plan
from counterpoise.errors import UserError
from counterpoise.runs.run import run_of

root = Path()
plan = make_plan(root, Path("configs/benchmarks/small.yaml"))
(cell,) = [c for c in plan.cells if (c.dataset, c.method, c.variant) == ("cg_digits", "mmpareto", "published")]
from counterpoise.data.prepare import prepare_dataset
data = cell.data
raw = root / "data/raw"
{before}
prepare_dataset(data.component, data.settings, raw, root / data.directory, data.key, source=data.source)
file = Path(sys.argv[1])
{edit}
import torch
from counterpoise.runs.train import train_run
try:
    train_run(run_of(plan, cell, 0, root), torch.device("cpu"))
except UserError as error:
    print("refused:", error)
"""
EDIT = "file.write_text(file.read_text().replace('2 * mu', '3 * mu'))"


def run_late(project: Project, *, edit: str = "", before: str = "", file: str = "methods/min_norm.py") -> str:
    program = LATE.replace("{edit}", edit).replace("{before}", before)
    protocol = {"title": "Short", "optimiser": {"lr": 0.02}, "epochs": 1, "batch_size": 256}
    project.write("configs/protocols/digits.yaml", protocol)
    done = subprocess.run(
        [sys.executable, "-c", program, f"src/counterpoise/{file}"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(project.root / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def records(project: Project) -> list[Path]:
    return list((project.root / "results").glob("**/record.json"))


@pytest.mark.parametrize(
    "edit",
    [
        EDIT,
        # Back to what was planned once the module is loaded: the file on the disk no longer shows it.
        f"text = file.read_text(); {EDIT}; import counterpoise.methods.min_norm; file.write_text(text)",
    ],
    ids=["edited", "edited and undone"],
)
def test_source_that_is_edited_between_planning_and_import_is_refused_and_leaves_no_record(project, edit):
    told = run_late(project, edit=edit)
    assert "refused:" in told
    assert "min_norm.py: was edited after this process had planned" in told
    assert records(project) == []


def test_bytecode_of_another_text_of_the_same_second_and_size_is_not_run(project):
    """Python tells bytecode by the size of its source and the second of its last change."""
    path = project.root / "src/counterpoise/methods/min_norm.py"
    text, time = path.read_text(), path.stat().st_mtime
    path.write_text(text.replace("2 * mu", "3 * mu"))
    os.utime(path, (time, time))
    compiled = [sys.executable, "-m", "compileall", "-q", "-f", str(path)]
    subprocess.run(compiled, check=True)
    path.write_text(text)
    os.utime(path, (time, time))
    program = "import counterpoise.methods.min_norm as m; print(3 in m._two.__code__.co_consts)"
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(project.root / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "False\n"


def test_source_that_is_as_planned_is_trained_and_its_comments_may_be_edited_at_any_time(project):
    edit = "file.write_text(file.read_text() + '# A remark.')"
    assert run_late(project, edit=edit) == ""
    assert len(records(project)) == 1


def test_preparing_source_that_is_edited_between_planning_and_import_makes_no_data(project):
    edit = (
        "import counterpoise.errors as errors\n"
        "shop = Path('src/counterpoise/data/datasets/cg_digits.py')\n"
        "shop.write_text(shop.read_text() + '\\nNEW = 1\\n')\n"
        "try:\n"
        "    prepare_dataset(data.component, data.settings, raw, root / data.directory, data.key, source=data.source)\n"
        "except UserError as error:\n"
        "    print('refused:', error)\n"
        "raise SystemExit"
    )
    told = run_late(project, before=edit)
    assert "cg_digits.py: was edited after this process had planned" in told
    assert not list((project.root / "data").glob("prepared/*/manifest.json"))


# Digests of single files.


@pytest.fixture
def digest_of(tmp_path) -> Callable[[str], str]:
    """Return a function that digests a source text."""
    numbers = iter(range(1000))

    def make(text: str) -> str:
        path = tmp_path / f"file_{next(numbers)}.py"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return file_digest(path)

    return make


@pytest.mark.parametrize(
    "same",
    [
        "x = 1  # a comment",
        '"""A module."""\nx = 1',
        "x=(\n    1\n)",
        "x = 0x1",
        "\n\nx = 1\n",
        'x = 1\n"""What x is."""',
        "# -*- coding: utf-8 -*-\nx = 1",
        "pass\nx = 1",
    ],
)
def test_what_does_nothing_is_not_digested(digest_of, same):
    assert digest_of(same) == digest_of("x = 1")


def test_docstrings_of_classes_and_functions_are_not_digested(digest_of):
    bare = "class A:\n    def f(self):\n        return 1"
    documented = 'class A:\n    """A."""\n\n    def f(self):\n        "f"\n        return 1'
    assert digest_of(documented) == digest_of(bare)
    assert digest_of('def f():\n    "f"') == digest_of("def f():\n    pass")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("def f(a: int) -> str: return a", "def f(a): return a"),
        ("if TYPE_CHECKING:\n    from a import B\nx = 1", "x = 1"),
        ("if a: raise E(f'no {b}; {suggest(b, c)}') from d", "if a: raise E('not one') from d"),
        ("from counterpoise.errors import UserError, suggest\nx = 1", "x = 1"),
    ],
)
def test_types_and_words_of_errors_are_not_digested(digest_of, left, right):
    assert digest_of(left) == digest_of(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("if a: raise E('x')", "if b: raise E('x')"),
        ("if a: raise E('x')", "if a: raise F('x')"),
        ("if a: raise E('x')", "if a: E('x')"),
        ("if TYPE_CHECKING:\n    x = 1\nelse:\n    x = 2", "if TYPE_CHECKING:\n    x = 1\nelse:\n    x = 3"),
    ],
)
def test_when_and_what_is_raised_is_digested(digest_of, left, right):
    assert digest_of(left) != digest_of(right)


@pytest.mark.parametrize(
    "other",
    [
        "x = 2",
        "x = 1.0",
        "x = True",
        "x = '1'",
        "x = b'1'",
        "x = -1",
        "y = 1",
        "x = 1\nx = 1",
        "x += 1",
        "x: int = 1",
        "x = None",
        "x = [1]",
        "x = (1,)",
    ],
)
def test_what_does_something_else_has_another_digest(digest_of, other):
    assert digest_of(other) != digest_of("x = 1")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("f(a, *b)", "f(*a, b)"),
        ("f(a=b)", "f(b=a)"),
        ("def f(a, /): return a", "def f(a): return a"),
        ("def f(*, a): return a", "def f(a): return a"),
        ("async def f(): return 1", "def f(): return 1"),
        ("x = a if b else c", "x = b if a else c"),
        ("x = f'{a!r}'", "x = f'{a!s}'"),
        ("x = f'{a:.2f}'", "x = f'{a:.3f}'"),
        ("x = {**a, 'b': 1}", "x = {'b': 1, **a}"),
        ("x = 'é'", "x = 'e'"),
        ("x = a[1:]", "x = a[:1]"),
        ("if a: f()\nelse: pass", "if a: pass\nelse: f()"),
        ("try: f()\nexcept A: g()", "try: f()\nfinally: g()"),
        ("return_ = lambda: 1", "return_ = lambda: None"),
        ("from a import b", "from .a import b"),
    ],
)
def test_near_misses_are_told_apart(digest_of, left, right):
    assert digest_of(left) != digest_of(right)


SYNTAX = """
    from __future__ import annotations
    import os.path as p
    @decorator(1, key="é\\n\\u2028", **extra)
    class A(B, metaclass=C):
        x: dict[str, int | None] = field(default_factory=lambda: {**a, "b": [1, *c]})
        async def f(self, a, /, b=2.50, *args, c: int, d=None, **kw) -> str:
            async with g() as (x, y):
                yield await h(x, *y)
            return f"a{a!r:>{b}} {{}} {c:.{d}f}" "b" f"{x=}"
    def g(a=b"\\x00", *, c=1e-12, d=1j):
        global z
        try:
            z = [i for i in a if i not in c if not (i < d <= 3)]
        except (E, F) as error:
            raise G() from error
        else:
            del z[1:2, ..., -1]
        finally:
            while (n := next(z)) is not None:
                continue
        match z:
            case {"k": [1, *rest], **others} if rest:
                return lambda *a, k=1: a @ k
            case A(x=1) | (2 as y) | None:
                pass
        assert z, "why"
"""


def test_digests_are_the_same_in_every_version_of_python(digest_of):
    # Written down once: results that were made with one supported version are found again by all others.
    assert digest_of(SYNTAX) == "1d26573eb840390aed5dd83fdf956de1ea4ab84ad1cd5e37edde1d1918e74fa8"


def test_source_that_is_not_python_is_named_with_its_line(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("x = 1\ndef f(:\n")
    with pytest.raises(UserError, match=r"broken\.py:2: not valid Python"):
        file_digest(path)


# Import closures.


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write ``{"pkg/a.py": text}`` where imports are looked up; importing any of it would fail."""
    module_file.cache_clear()
    source_digest.cache_clear()

    def write(texts: dict[str, str]) -> None:
        for path, text in texts.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\nraise ImportError('planning imports nothing')\n")

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    module_file.cache_clear()
    source_digest.cache_clear()


def names(modules: list[str], package_name: str) -> set[str]:
    return {name for name in closure(modules) if name.partition(".")[0] == package_name}


def test_a_third_party_method_is_followed_through_its_own_package(package):
    package(
        {
            "cp_ext/__init__.py": "",
            "cp_ext/methods/__init__.py": "from . import shared",
            "cp_ext/methods/new.py": "import numpy\nfrom ..tools import thing\nfrom cp_ext.late import x",
            "cp_ext/methods/shared.py": "",
            "cp_ext/tools.py": "def thing():\n    from .deep import nested",
            "cp_ext/deep/__init__.py": "",
            "cp_ext/deep/nested.py": "",
            "cp_ext/late.py": "import counterpoise.methods.min_norm",
            "cp_ext/unused.py": "",
        }
    )
    found = names(["cp_ext.methods.new"], "cp_ext")
    everything = {"", ".methods", ".methods.new", ".methods.shared", ".tools", ".deep", ".deep.nested", ".late"}
    assert found == {f"cp_ext{name}" for name in everything}
    assert "counterpoise.methods.min_norm" in closure(["cp_ext.methods.new"])
    assert not names(["cp_ext.methods.new"], "numpy")
    assert "cp_ext" not in sys.modules


def test_a_third_party_method_may_be_a_single_file(package):
    package({"cp_single.py": "from counterpoise.methods.interface import LossMethod"})
    found = closure(["cp_single"])
    assert {"cp_single", "counterpoise.methods.interface"} <= set(found)


def test_packages_without_an_init_file_are_followed(package):
    package({"cp_space/a.py": "from cp_space.inner import b", "cp_space/inner/b.py": ""})
    assert names(["cp_space.a"], "cp_space") == {"cp_space.a", "cp_space.inner.b"}


@pytest.mark.parametrize(
    "block",
    [
        "def f():\n    {}",
        "class A:\n    def f(self):\n        {}",
        "async def f():\n    async with a:\n        {}",
        "if a: pass\nelif b:\n    {}",
        "for a in b: pass\nelse:\n    {}",
        "while a:\n    {}",
        "with a:\n    {}",
        "try: pass\nexcept E:\n    {}",
        "try: pass\nexcept* E:\n    {}",
        "try: pass\nexcept E: pass\nelse:\n    {}",
        "try: pass\nfinally:\n    {}",
        "match a:\n    case 1:\n        {}",
    ],
)
def test_imports_in_blocks_of_every_kind_are_followed(package, request, block):
    name = f"cp_block_{request.node.callspec.indices['block']}"
    package({f"{name}/a.py": block.format(f"import {name}.b"), f"{name}/b.py": ""})
    assert f"{name}.b" in closure([f"{name}.a"])


def test_a_circle_of_imports_ends(package):
    package({"cp_circle/__init__.py": "", "cp_circle/a.py": "from . import b", "cp_circle/b.py": "from . import a"})
    assert names(["cp_circle.a"], "cp_circle") == {"cp_circle", "cp_circle.a", "cp_circle.b"}


def test_relative_imports_of_a_package_start_at_itself(package):
    package(
        {
            "cp_rel/__init__.py": "from .sub import x",
            "cp_rel/sub/__init__.py": "from .. import other",
            "cp_rel/other.py": "",
        }
    )
    assert names(["cp_rel"], "cp_rel") == {"cp_rel", "cp_rel.sub", "cp_rel.other"}


def test_a_change_in_a_third_party_helper_changes_the_source_digest(package, monkeypatch):
    files = {"cp_change/__init__.py": "", "cp_change/a.py": "from cp_change import b", "cp_change/b.py": "X = 1"}
    package(files)
    first = source_digest(("cp_change.a",))
    source_digest.cache_clear()
    identity._source.cache_clear()
    package({"cp_change/b.py": "X = 2"})
    assert source_digest(("cp_change.a",)) != first


def test_a_module_that_is_not_there_is_left_out():
    assert module_file("no_such_package.module") is None
    assert module_file("counterpoise.no_such_module") is None
    assert closure(["no_such_package.module"]) == {}


# Canonical configuration.


def test_the_order_of_keys_does_not_change_a_digest():
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize("other", [{"a": 1.5}, {"a": "1"}, {"a": [1]}, {"a": None}, {"b": 1}, {}])
def test_different_settings_have_different_digests(other):
    assert digest(other) != digest({"a": 1})


def test_numbers_that_json_cannot_hold_are_refused():
    with pytest.raises(ValueError):
        digest({"a": float("nan")})
