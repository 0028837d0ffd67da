"""The whole chain through Snakemake: what a first, a second and a changed invocation do."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml
from miniature import BENCHMARK, NAME, Project

from counterpoise.planning.plan import make_plan
from counterpoise.results.table import read_results

pytestmark = pytest.mark.slow


def home(project: Project) -> Path:
    return project.root / "results" / NAME


def planned_jobs(project: Project) -> Counter[str]:
    """Return how many jobs of each rule a dry run of the miniature plans."""
    return project.planned_jobs("--configfile", BENCHMARK)


def planned_cells(project: Project, source: Path | None = None) -> set[str]:
    """Return the methods whose training a dry run plans, as ``method-variant``."""
    extra = {} if source is None else {"PYTHONPATH": str(source)}
    done = subprocess.run(
        ["snakemake", "--cores", "2", "--configfile", BENCHMARK, "--dry-run"],
        cwd=project.root,
        env=project.environment(**extra),
        capture_output=True,
        text=True,
        check=True,
    )
    text = done.stdout + done.stderr
    return set(re.findall(r"train [^/\s]+/[^/\s]+/([^.\s]+)\.[0-9a-f]+ seed \d+", text))


@pytest.fixture
def package(tmp_path: Path, repository: Path) -> Path:
    """A copy of the package's source that a test may change; put it on PYTHONPATH."""
    return Path(shutil.copytree(repository / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__")))


def test_every_run_has_a_whole_record_and_its_values(finished):
    plan = make_plan(finished.root, finished.root / BENCHMARK)
    results = read_results(home(finished))
    for cell in plan.cells:
        for seed in plan.seeds:
            record = json.loads((finished.root / cell.run_directory(seed) / "record.json").read_text())
            assert (record["key"], record["seed"], record["status"]) == (cell.key, seed, "completed")
        assert set(results.seeds(cell.name, "last", results.outputs(cell.name)[0], "accuracy").finished) == {0, 1}


def test_tables_and_comparison_come_in_every_format(finished):
    for table in ("table3", "table5"):
        for suffix in ("md", "csv", "tex", "html"):
            assert (home(finished) / f"tables/mmpareto/{table}.{suffix}").stat().st_size > 0
    with (home(finished) / "comparison/mmpareto.csv").open() as file:
        rows = list(csv.DictReader(file))
    ran = [row for row in rows if row["table"] == "table3" and row["column"].startswith("cg_mnist")]
    assert {row["verdict"] for row in ran if row["n"] not in ("", "0")} == {"stand-in"}


def test_the_report_has_a_page_for_each_cell(finished):
    pages = {path.name for path in (home(finished) / "report/cells").glob("*.html")}
    assert pages == {f"{name.replace('/', '.')}.html" for name in finished.cells()}


def test_a_run_ends_with_what_came_out_and_where_it_is(finished):
    said = finished.said()
    assert "miniature: 8 runs" in said
    assert "results/miniature/report/index.html" in said
    jobs = [line for line in said.splitlines() if "train " in line]
    assert len(jobs) == len({*jobs}) == 8 + 1, "one line per job, and one of the table of jobs"
    assert max(map(len, said.splitlines())) < 400, "no list of files in a line"


def test_nothing_unfinished_stays_behind(finished):
    assert not list(finished.root.glob("work/*/*/*/*/*"))
    assert not [path for path in finished.root.rglob(".*") if path.suffix in (".json", ".npz", ".csv")]


def test_a_second_invocation_has_nothing_to_do(finished):
    assert planned_jobs(finished) == Counter()


def test_a_changed_learning_rate_plans_exactly_its_runs(copied):
    path = copied.root / BENCHMARK
    benchmark = yaml.safe_load(path.read_text())
    benchmark["methods"] = {"gradnorm": {"protocol": {"optimiser": {"lr": 0.013}}}}
    path.write_text(yaml.safe_dump(benchmark))
    assert planned_cells(copied) == {"gradnorm-published"}


def test_a_semantic_change_in_a_methods_file_plans_exactly_its_runs_and_comments_none(copied, package):
    for path in (package / "counterpoise").rglob("*.py"):
        path.write_text(path.read_text() + "\n# a remark\n")
    path = package / "counterpoise/methods/mmpareto.py"
    text = path.read_text()
    assert "self.gamma *" in text
    path.write_text(text.replace("self.gamma *", "1.001 * self.gamma *"))
    assert planned_cells(copied, package) == {"mmpareto-published"}


def test_many_more_seeds_train_each_of_them_alone_and_by_itself(copied):
    more = [3, 5, 8, 13, 21]
    path = copied.root / BENCHMARK
    benchmark = yaml.safe_load(path.read_text()) | {"seeds": [0, 1, *more]}
    path.write_text(yaml.safe_dump(benchmark))
    assert copied.run("--dry-run", "--printshellcmds") == 0, copied.said()[-4000:]
    asked = re.findall(
        r"counterpoise train (\S+) --seed (\d+) .* --log logs/train/(\S+)/seed-(\d+)\.log", copied.said()
    )
    assert Counter(asked) == Counter((cell, str(seed)) * 2 for cell in copied.cells() for seed in more)


def test_another_calibration_setting_makes_results_again_but_trains_nothing_even_in_a_clone(copied):
    assert not (copied.root / ".snakemake").exists(), "the engine's notes are not needed"
    path = copied.root / BENCHMARK
    benchmark = yaml.safe_load(path.read_text()) | {"evaluation": {"ece_bins": 10}}
    path.write_text(yaml.safe_dump(benchmark))
    assert planned_jobs(copied) == Counter({"report": 1})


def test_a_changed_printed_value_makes_results_again(copied):
    path = copied.root / "configs/papers/mmpareto/table3.yaml"
    path.write_text(path.read_text().replace("81.88", "81.89"))
    assert planned_jobs(copied) == Counter({"report": 1})


def test_a_missing_run_behind_existing_tables_is_noticed(copied):
    (name,) = [name for name in copied.cells() if "gradnorm" in name]
    shutil.rmtree(copied.root / "results/runs" / name)
    assert planned_cells(copied) == {"gradnorm-published"}


def test_a_word_in_braces_in_a_setting_is_no_wildcard(copied):
    assert copied.run("--config", 'note="a {seed} and {x}"', "--", "report") == 0, copied.said()[-4000:]
    layout = json.loads((home(copied) / "layout.json").read_text())
    assert layout["note"] == "a {seed} and {x}"


def test_a_wrong_benchmark_stops_before_the_first_job(tmp_path, repository):
    project = Project.create(tmp_path / "wrong", repository, seeds=[0, 0])
    assert project.run() != 0
    assert "seeds" in project.said()
    assert not (project.root / "results").exists()


def test_the_workflow_is_formatted(repository):
    subprocess.run(["snakefmt", "--check", "Snakefile", "workflow"], cwd=repository, check=True, capture_output=True)
