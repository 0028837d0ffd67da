"""One failing cell never blocks another's table; the table says what failed; the same command tries again."""

from __future__ import annotations

import csv
import json
import os

import pytest
from miniature import Project
from sabotage import sabotage

GRADNORM = 'trainer.method.info.name == "gradnorm" and trainer.seed == 1 and trainer.progress.step == 20'


def with_fault(project: Project, condition: str, action: str) -> dict[str, str]:
    """The environment of workers that fail as asked."""
    folder = sabotage(project.root.parent / "fault", condition, action)
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(project.checkout / "src")])}


def failures(project: Project) -> list[dict[str, object]]:
    """The last failure of every run that has one, with its seed and the attempts that failed."""
    found = []
    for path in sorted(project.root.glob("results/runs/**/failure.json")):
        noted = json.loads(path.read_text())
        attempts = [failure["attempt"] for failure in noted["failures"]]
        found.append({**noted["failures"][-1], "seed": noted["seed"], "attempts": attempts})
    return found


def table3(project: Project) -> dict[str, dict[str, str]]:
    with (project.root / "results/miniature/tables/mmpareto/table3.csv").open() as file:
        return {row["row"]: row for row in csv.DictReader(file)}


@pytest.mark.slow
def test_a_bug_in_one_run_leaves_all_other_tables_and_is_not_tried_twice(undisturbed: dict[str, str], still_to_do):
    project = still_to_do("gradnorm", "metabalance")
    counted = project.root / "tried"
    action = f'open({str(counted)!r}, "a").write("x"); raise ValueError("a shape is wrong")'
    assert project.run(**with_fault(project, GRADNORM, action)) == 1

    (failure,) = failures(project)
    assert (failure["status"], failure["again"]) == ("failed", False)
    assert failure["reason"] == "ValueError: a shape is wrong"
    assert "Traceback" in (project.root / str(failure["log"])).read_text(), "the log has it, whatever came after"
    assert counted.read_text() == "x", "the same mistake is not made twice in one go"

    rows = table3(project)
    assert rows["GradNorm"]["cg_mnist.accuracy.n"] == "1"
    assert rows["MMPareto"]["cg_mnist.accuracy.n"] == "2"
    text = (project.root / "results/miniature/tables/mmpareto/table3.md").read_text()
    assert "a shape is wrong" in text
    said = project.said()
    assert f"log: {failure['log']}" in said, "the end names what failed and its log"
    assert "1 failed: ValueError: a shape is wrong" in said
    assert "partial results, 7 of 8 runs" in said
    here = project.artifacts()
    assert all(here[path] == digest for path, digest in undisturbed.items() if "/tables/mmpareto/table5" in path)

    assert project.run() == 0, project.said()[-4000:]
    assert {p: d for p, d in project.artifacts().items() if "prepared" not in p} == {
        p: d for p, d in undisturbed.items() if "prepared" not in p
    }


@pytest.mark.slow
def test_out_of_memory_is_tried_again_and_then_said(still_to_do):
    project = still_to_do("metabalance")
    action = "import torch; raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')"
    condition = 'trainer.method.info.name == "metabalance"'
    assert project.run("--retries", "1", "--", "runs_all", **with_fault(project, condition, action)) == 1
    found = failures(project)
    assert [failure["seed"] for failure in found] == [0, 1]
    assert {failure["status"] for failure in found} == {"out_of_memory"}
    assert [failure["attempts"] for failure in found] == [[1, 2], [1, 2]], "a second attempt follows"
    table = (project.root / "results/miniature/tables/mmpareto/table5.md").read_text()
    assert "failed" in table
    assert "out of memory" in table


@pytest.mark.slow
def test_a_worker_without_memory_gives_the_right_result_or_none(undisturbed: dict[str, str], still_to_do):
    project = still_to_do("uniform")
    # From the tenth step on, not a byte more than the process has.
    limit = (
        "import resource; pages = int(open('/proc/self/statm').read().split()[0]);"
        " resource.setrlimit(resource.RLIMIT_AS, (pages * 4096,) * 2)"
    )
    hungry = f"{limit}; held = [bytearray(1 << 20) for _ in range(1 << 14)]"
    condition = 'trainer.method.info.name == "uniform" and trainer.progress.step == 10'
    assert project.run("--", "runs_all", **with_fault(project, condition, hungry)) == 1
    found = failures(project)
    assert found
    assert {failure["status"] for failure in found} == {"out_of_memory"}
    assert project.run() == 0, project.said()[-4000:]
    assert {p: d for p, d in project.artifacts().items() if "prepared" not in p} == {
        p: d for p, d in undisturbed.items() if "prepared" not in p
    }


@pytest.mark.slow
def test_a_worker_killed_at_every_attempt_is_a_failure_that_the_table_names(still_to_do):
    project = still_to_do("mmpareto")
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    condition = 'trainer.method.info.name == "mmpareto" and trainer.seed == 1'
    assert project.run(**with_fault(project, condition, kill)) == 1
    (failure,) = failures(project)
    assert failure["status"] in ("failed", "out_of_memory")
    assert "killed" in str(failure["reason"])
    rows = table3(project)
    assert rows["MMPareto"]["cg_mnist.accuracy.n"] == "1", "the seed that the same job had finished stands"
    assert rows["GradNorm"]["cg_mnist.accuracy.n"] == "2"
