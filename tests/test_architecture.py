"""Imports run one way. They are read from the source text, so an import inside a function counts too."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "counterpoise"

# The shared bottom: every layer may import these, and they import nothing above themselves.
BOTTOM = {
    *(PACKAGE, "errors", "files", "git", "locks", "loading", "declare", "identity", "validation", "path_names"),
    *("components", "comparability", "protocol", "weights", "metrics"),
}

# layer -> the layers that it may import, besides itself and the bottom. A new one is entered on purpose.
# Methods may see the interface of the network that they train, but know no architecture by name: that is
# test_components_are_not_imported_by_name.
MAY_IMPORT: dict[str, set[str]] = {
    **{layer: set() for layer in BOTTOM},
    "papers": set(),
    "planning": {"papers"},
    "data": {"planning"},
    "models": set(),
    "methods": {"models"},
    # What computes numbers knows no run: it imports nothing of records, checkpoints, leases and plans.
    "engine": {"data", "methods", "models"},
    "results": {"papers"},
    "runs": {"data", "engine", "methods", "models", "papers", "planning", "results"},
    # The results table and its layout are all that these know of a benchmark: no plan, no run.
    "judging": {"papers", "results"},
    "reporting": {"judging", "papers", "results"},
    "publication": {"judging", "papers", "reporting", "results"},
    "testing": {"data", "engine", "methods", "models"},
    "cli": {
        *("data", "engine", "judging", "methods", "models", "papers", "planning"),
        *("publication", "reporting", "results", "runs", "testing"),
    },
    # What programs use beside the command line, which it shares the finding of projects with.
    "api": {"cli", "judging", "papers", "planning", "publication", "results"},
    "__main__": {"cli"},
}
WITHOUT_TORCH = BOTTOM | {"api", "papers", "planning", "results", "judging", "reporting", "publication"}
TORCH = {"torch", "torchvision", "torchaudio", "torchmetrics", "torchjd"}
DECLARATIONS = {"method", "dataset", "encoder", "fusion"}

Graph = dict[str, set[str]]


def modules_under(source: Path) -> dict[str, ast.Module]:
    """Dotted name -> syntax tree of every module of the package in ``source``."""
    modules = {}
    for file in sorted((source / PACKAGE).rglob("*.py")):
        parts = file.relative_to(source).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name] = ast.parse(file.read_text(encoding="utf-8"), str(file))
    return modules


def imported_names(name: str, tree: ast.Module, is_package: bool) -> Iterator[str]:
    """Every dotted name that the module asks for when it runs; ``from a import b`` asks for ``a.b``."""
    for node in running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = name.split(".")
                parents = parents[: len(parents) - node.level + int(is_package)]
                base = ".".join([*parents, *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def running(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node of a tree but those under ``if TYPE_CHECKING:``, which only a type checker reads."""
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        return
    yield tree
    for child in ast.iter_child_nodes(tree):
        yield from running(child)


def imports_of(source: Path) -> Graph:
    """Module -> what it imports: modules of the package by their full name, others by their first word."""
    modules = modules_under(source)
    packages = {name.rpartition(".")[0] for name in modules} | {PACKAGE}
    graph: Graph = {}
    for name, tree in modules.items():
        found = set()
        for wanted in imported_names(name, tree, name in packages):
            if wanted.split(".")[0] != PACKAGE:
                found.add(wanted.split(".")[0])
                continue
            while wanted not in modules:
                wanted = wanted.rpartition(".")[0]
            found.add(wanted)
        graph[name] = found - {name}
    return graph


def layer_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else PACKAGE


def cycle_in(graph: Graph) -> list[str]:
    """The modules of one import cycle in order, or nothing."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


def wrong_ways(graph: Graph) -> list[str]:
    """``"a -> b"`` for every import that the layers do not allow."""
    wrong = []
    for module, imported in graph.items():
        layer = layer_of(module)
        allowed = MAY_IMPORT[layer] | BOTTOM | {layer}
        for other in imported:
            if other.split(".")[0] == PACKAGE and layer_of(other) not in allowed:
                wrong.append(f"{module} -> {other}")
    return sorted(wrong)


def torch_where_none_belongs(graph: Graph) -> list[str]:
    return sorted(
        f"{module} -> {other}"
        for module, imported in graph.items()
        if layer_of(module) in WITHOUT_TORCH
        for other in imported & TORCH
    )


def components_in(source: Path) -> set[str]:
    """The modules that declare a method, a dataset, an encoder or a fusion."""
    found = set()
    for name, tree in modules_under(source).items():
        for node in ast.walk(tree):
            calls = [d.func for d in getattr(node, "decorator_list", []) if isinstance(d, ast.Call)]
            if isinstance(node, ast.ClassDef) and any(getattr(c, "id", "") in DECLARATIONS for c in calls):
                found.add(name)
    return found


def imported_by_name(graph: Graph, components: set[str]) -> list[str]:
    """Imports of a component's file from outside its own layer."""
    return sorted(
        f"{module} -> {other}"
        for module, imported in graph.items()
        for other in imported & components
        if layer_of(module) != layer_of(other)
    )


def loaded_after(program: str, folder: Path) -> set[str]:
    """What a new interpreter in ``folder`` holds after a program: first words, and this package's layers."""
    program += (
        "\nimport sys\n"
        "print(*{'.'.join(name.split('.')[:2]) if name.startswith('counterpoise') else name.split('.')[0]"
        " for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.fixture(scope="module")
def source(repository: Path) -> Path:
    return repository / "src"


@pytest.fixture(scope="module")
def graph(source: Path) -> Graph:
    return imports_of(source)


def test_every_module_belongs_to_a_known_layer(graph):
    assert len(graph) > len(MAY_IMPORT)
    assert {layer_of(module) for module in graph} <= set(MAY_IMPORT)


def test_no_import_cycle(graph):
    assert cycle_in(graph) == []


def test_imports_run_one_way(graph):
    assert wrong_ways(graph) == []


def test_planning_comparing_and_reporting_name_no_torch(graph):
    assert torch_where_none_belongs(graph) == []


def test_components_are_not_imported_by_name(graph, source):
    components = components_in(source)
    assert "counterpoise.methods.mmpareto" in components
    assert imported_by_name(graph, components) == []


def test_no_module_is_a_drawer_for_everything(graph):
    drawers = {"utils", "util", "helpers", "misc", "common"}
    assert [module for module in graph if module.rpartition(".")[2] in drawers] == []


# What is imported in a process that has imported nothing before: what it does, and what it must not load.

STATISTICS = {"scipy", "sklearn", "statsmodels", "pandas"}
ENGINE = {f"{PACKAGE}.{layer}" for layer in ("engine", "runs", "methods", "models", "data")}
HELP = "from counterpoise.cli.app import main\nassert main(['--help']) == 0"
PLAN = "from pathlib import Path\nmake_plan(Path(), Path('configs/benchmarks/mmpareto.yaml'), {})"
STATUS = (
    "import counterpoise.runs.status, counterpoise.runs.estimate, counterpoise.runs.changed, counterpoise.cli.overview"
)
API = "import counterpoise\n[getattr(counterpoise, name) for name in counterpoise.__all__]"
PAGE = """
import runpy, sys, tempfile
from pathlib import Path
with tempfile.TemporaryDirectory() as folder:
    sys.argv = ["papers", f"{folder}/papers.md"]
    runpy.run_path("docs/generators/papers_page.py", run_name="__main__")
    assert Path(sys.argv[1]).stat().st_size > 0
"""
PROCESSES: dict[str, tuple[str, set[str]]] = {
    "the command line": ("import counterpoise.cli.app", TORCH | ENGINE),
    "its help": (HELP, {*TORCH, *STATISTICS, "numpy", "sqlite3", "pydantic", "yaml", "snakemake", "matplotlib"}),
    "layers without torch": ("{layers}", TORCH),
    # Every start of Snakemake reads the rules; only an explanation's inputs ask for more than a plan.
    "the workflow's rules": ("{workflow}", TORCH | STATISTICS),
    "the workflow's plan": (f"{{workflow, late ones too}}\n{PLAN}", TORCH),
    "status and estimate": (STATUS, TORCH | STATISTICS),
    # Plans and papers read the names of metrics; only formulas need the libraries.
    "the registry of metrics": ("import counterpoise.metrics", TORCH | STATISTICS),
    "the package": ("import counterpoise", TORCH | STATISTICS),
    "the functions of the package": (API, TORCH),
    "the page of the papers": (PAGE, TORCH),
}


@pytest.mark.parametrize("what", PROCESSES)
def test_a_process_loads_no_more_than_it_needs(graph, repository, what):
    program, forbidden = PROCESSES[what]
    layers = sorted(module for module in graph if layer_of(module) in WITHOUT_TORCH)
    program = program.replace("{layers}", f"import {', '.join(layers)}")
    program = program.replace("{workflow}", workflow_imports(repository, late=False))
    program = program.replace("{workflow, late ones too}", workflow_imports(repository, late=True))
    assert loaded_after(program, repository) & forbidden == set()


def workflow_imports(repository: Path, late: bool) -> str:
    """What the workflow's own code imports when the rules are read, or also later, inside functions."""
    files = [repository / "Snakefile", *(repository / "workflow/rules").glob("*.smk")]
    # Rules are no Python, so that their text is read; an import may go on over lines, in parentheses.
    found = re.compile(r"^( *)((?:from|import) counterpoise[^\n(]*(?:\([^)]*\))?)", re.MULTILINE)
    imports = [text for file in files for indent, text in found.findall(file.read_text()) if late or not indent]
    assert any("make_plan" in text for text in imports)
    return "\n".join(imports)


# The reader above is itself code: each rule is seen to fail on a package that breaks it.


@pytest.fixture
def toy(tmp_path: Path):
    """Write ``{"planning/plan.py": text}`` as a package and return its import graph."""

    def write(texts: dict[str, str]) -> Graph:
        for path, text in {"__init__.py": "", **texts}.items():
            file = tmp_path / PACKAGE / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return imports_of(tmp_path)

    return write


@pytest.mark.parametrize(
    "text",
    [
        "from counterpoise.planning.b import x",
        "import counterpoise.planning.b",
        "from counterpoise.planning import b",
        "from . import b",
        "from .b import x",
        "from ..planning.b import x",
        "def late():\n    from counterpoise.planning import b",
    ],
)
def test_a_cycle_is_seen_however_it_is_spelt(toy, text):
    graph = toy({"planning/__init__.py": "", "planning/a.py": text, "planning/b.py": "import counterpoise.planning.a"})
    assert set(cycle_in(graph)) == {"counterpoise.planning.a", "counterpoise.planning.b"}


def test_a_relative_import_in_a_package_starts_at_that_package(toy):
    graph = toy({"planning/__init__.py": "from .a import x", "planning/a.py": ""})
    assert graph["counterpoise.planning"] == {"counterpoise.planning.a"}


def test_a_wrong_way_is_seen_inside_a_function(toy):
    late = "def f():\n    import counterpoise.engine.loop"
    graph = toy({"judging/verdict.py": late, "engine/loop.py": ""})
    assert wrong_ways(graph) == ["counterpoise.judging.verdict -> counterpoise.engine.loop"]


def test_the_bottom_imports_nothing_above_itself(toy):
    graph = toy({"files.py": "from counterpoise.planning import plan", "planning/plan.py": ""})
    assert wrong_ways(graph) == ["counterpoise.files -> counterpoise.planning.plan"]


def test_torch_is_seen_inside_a_function_of_reporting(toy):
    graph = toy({"reporting/page.py": "def f():\n    from torch.nn import functional"})
    assert torch_where_none_belongs(graph) == ["counterpoise.reporting.page -> torch"]


def test_training_that_names_a_method_is_seen(toy, tmp_path):
    declared = "from counterpoise.declare import method\n@method(name='a')\nclass A:\n    pass\n"
    graph = toy(
        {
            "declare.py": "def method(**info): ...",
            "methods/a.py": declared,
            "methods/interface.py": "",
            "engine/loop.py": "from counterpoise.methods import interface\nimport counterpoise.methods.a",
        }
    )
    wrong = "counterpoise.engine.loop -> counterpoise.methods.a"
    assert imported_by_name(graph, components_in(tmp_path)) == [wrong]
