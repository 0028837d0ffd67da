"""Whatever was changed after the fact is found, and named; what was not is confirmed without the source."""

from __future__ import annotations

import csv
import io
import json
import shutil

import numpy as np
import pytest

from counterpoise.cli.app import main
from counterpoise.errors import UserError
from counterpoise.judging.compare import compare_paper
from counterpoise.publication import record as published
from counterpoise.publication.verify import verify_published, verify_results
from counterpoise.reporting.report import write_report
from counterpoise.reporting.tables import write_table


def first_run(record):
    return sorted(record.glob("runs/*/*/*/seed-0"))[0]


def found(done, end: str) -> list[str]:
    """The differences in a file whose name ends so."""
    return [str(difference) for difference in done.differences if difference.file.endswith(end)]


def change_csv(path, change) -> None:
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    change(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def test_an_untouched_record_verifies_from_its_predictions(record):
    done = verify_published(record)
    assert done.differences == []
    assert (done.exit_code, done.runs, done.recomputed, done.by_digest) == (0, 8, 8, 0)


def test_a_record_without_predictions_verifies_by_digest_and_says_so(record):
    shutil.rmtree(record / "predictions")
    done = verify_published(record)
    assert (done.exit_code, done.recomputed, done.by_digest) == (0, 0, 8)


def test_a_record_of_an_older_source_verifies_and_says_what_was_compared(record, rewrite, forge):
    def age(plan):
        plan["origin"] |= {"reporting": "0" * 64, "evaluation": "0" * 64}

    rewrite(record / "plan.json", age)
    (record / "tables/mmpareto/table3.md").write_text("# The same numbers in another layout\n")
    forge(record)
    done = verify_published(record)
    assert done.differences == []
    assert any("another version" in note for note in done.notes)


def test_metrics_of_an_older_source_are_compared_as_far_as_it_measured(record, rewrite, forge):
    def older(metrics):
        metrics["schema"] = 1
        for selection in metrics["selections"].values():
            del selection["details"]

    for path in record.glob("runs/*/*/*/seed-*/metrics.*.json"):
        rewrite(path, older)
    rewrite(record / "plan.json", lambda plan: plan["origin"].update(evaluation="0" * 64))
    forge(record)
    assert verify_published(record).differences == []
    rewrite(path, lambda m: m["selections"]["last"]["outputs"]["joint"].update(ece=0.9))
    forge(record)
    assert any("joint.ece: stored 0.9" in line for line in found(verify_published(record), path.name))


def test_a_record_verifies_though_today_every_run_has_another_key(record, monkeypatch):
    def moved_on(modules):
        raise AssertionError("a published record must not be planned again")

    monkeypatch.setattr("counterpoise.planning.plan.make_plan", moved_on)
    monkeypatch.setattr("counterpoise.planning.plan.source_digest", lambda modules: "f" * 64)
    assert verify_published(record).exit_code == 0


@pytest.mark.parametrize("careful", [False, True], ids=["", "with a new manifest"])
def test_a_changed_metric_is_found(record, rewrite, forge, careful):
    (path,) = first_run(record).glob("metrics.*.json")

    def better(metrics):
        metrics["selections"]["last"]["outputs"]["joint"]["accuracy"] += 0.1

    rewrite(path, better)
    if careful:
        forge(record)
    done = verify_published(record)
    assert done.exit_code == 3
    assert any(
        "selections.last.outputs.joint.accuracy: stored 0.65, now 0.55" in line for line in found(done, path.name)
    )
    assert found(done, "comparison/mmpareto.csv")
    assert found(done, "tables/mmpareto/table3.csv")
    assert bool(found(done, path.name)[0].count("sha256")) != careful


def test_a_metric_changed_by_less_than_libraries_differ_is_found_by_the_manifest_alone(record, rewrite):
    (path,) = first_run(record).glob("metrics.*.json")

    def nudge(metrics):
        metrics["selections"]["last"]["outputs"]["joint"]["ece"] += 1e-9

    rewrite(path, nudge)
    assert [difference.key for difference in verify_published(record).differences] == ["sha256"]


@pytest.mark.parametrize("careful", [False, True], ids=["", "with a new manifest"])
@pytest.mark.parametrize("suffix", [".md", ".tex", ".csv"])
def test_a_changed_table_is_found(record, forge, suffix, careful):
    path = record / f"tables/mmpareto/table3{suffix}"
    text = path.read_text()
    assert "77.5" in text
    path.write_text(text.replace("77.5", "97.5", 1))
    if careful:
        forge(record)
    lines = found(verify_published(record), path.name)
    assert lines
    assert not careful or any("97.5" in line and "77.5" in line for line in lines)


@pytest.mark.parametrize("old_source", [False, True])
def test_a_changed_verdict_is_found_whatever_source_wrote_it(record, rewrite, forge, old_source):
    def flatter(rows):
        (row,) = [r for r in rows if r["row"] == "Uniform baseline" and r["column"] == "cg_mnist.accuracy"]
        row["verdict"] = "reproduced"

    change_csv(record / "comparison/mmpareto.csv", flatter)
    if old_source:
        rewrite(record / "plan.json", lambda plan: plan["origin"].update(reporting="0" * 64))
    forge(record)
    assert found(verify_published(record), "comparison/mmpareto.csv") == [
        "comparison/mmpareto.csv: table3.Uniform baseline.cg_mnist.accuracy verdict: "
        "stored 'reproduced', now 'stand-in'"
    ]


def test_a_changed_claim_and_a_line_that_is_gone_are_found(record, forge):
    change_csv(record / "comparison/mmpareto.claims.csv", lambda rows: rows[0].update(verdict="supported"))
    change_csv(record / "comparison/mmpareto.seeds.csv", lambda rows: rows.pop())
    forge(record)
    done = verify_published(record)
    assert "stored 'supported'" in found(done, ".claims.csv")[0]
    assert found(done, ".seeds.csv")[0].endswith("stored no line, now a line")


def test_a_changed_prediction_is_found(record):
    path = sorted(record.glob("predictions/**/predictions.npz"))[0]
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["last.logits.joint"] = arrays["last.logits.joint"][::-1].copy()
    np.savez(path, **arrays)
    done = verify_published(record)
    assert done.exit_code == 3
    assert "sha256" in found(done, "predictions.npz")[0]


def test_a_truncated_prediction_is_found(record):
    path = sorted(record.glob("predictions/**/predictions.npz"))[0]
    path.write_bytes(path.read_bytes()[:100])
    assert "sha256" in found(verify_published(record), "predictions.npz")[0]


def test_a_missing_record_is_found_and_named(record, forge):
    path = first_run(record) / "record.json"
    path.unlink()
    forge(record)  # the manifest has no line for it any more; the plan still has the run
    lines = found(verify_published(record), "seed-0/record.json")
    assert any("is not there" in line for line in lines)


@pytest.mark.parametrize("name", ["record.json", "metrics.*.json"])
def test_a_truncated_file_of_a_run_is_a_difference_not_the_end(record, forge, name):
    (path,) = first_run(record).glob(name)
    path.write_text(path.read_text()[:200])
    forge(record)
    done = verify_published(record)
    assert done.exit_code == 3
    assert any("truncated or not JSON" in line for line in found(done, path.name))


def test_a_record_without_what_its_metrics_were_measured_by_is_found(record, rewrite, forge):
    rewrite(first_run(record) / "record.json", lambda r: r.pop("output_targets"))
    forge(record)
    assert any(
        "output_targets" in line
        for line in found(verify_published(record), "record.json") + found(verify_published(record), ".json")
    )


def test_missing_metrics_are_found(record, forge):
    (path,) = first_run(record).glob("metrics.*.json")
    path.unlink()
    done = verify_published(record)
    assert any("no such file" in line for line in found(done, path.name))
    assert done.exit_code == 3


def test_a_record_of_another_run_is_found(record, rewrite):
    rewrite(first_run(record) / "record.json", lambda r: r.update(seed=7))
    lines = found(verify_published(record), "seed-0/record.json")
    assert any("'seed' is 7" in line for line in lines)


def test_a_changed_learning_curve_is_found(record, forge):
    path = first_run(record) / "history.csv.gz"
    path.write_bytes(b"not compressed")
    forge(record)
    assert found(verify_published(record), "history.csv.gz") or found(verify_published(record), "history.csv")


def test_a_run_whose_end_was_changed_is_found(record, rewrite, forge):
    run = first_run(record)
    (metrics,) = run.glob("metrics.*.json")
    rewrite(run / "record.json", lambda r: r.update(status="diverged", reason="loss is not finite"))
    rewrite(metrics, lambda m: m.update(status="diverged", reason="loss is not finite", selections={}))
    forge(record)
    assert any(
        "stored completed, now diverged" in line for line in found(verify_published(record), "seed-0/record.json")
    )


def test_a_changed_printed_number_is_found(record, forge):
    path = record / "papers/mmpareto/table3.yaml"
    path.write_text(path.read_text().replace("79.35", "89.35"))
    forge(record)
    done = verify_published(record)
    assert any("'79.35', now '89.35'" in line for line in found(done, "comparison/mmpareto.csv"))


def test_a_file_that_was_added_is_found(record):
    (record / "tables/mmpareto/table9.csv").write_text("row\n")
    assert found(verify_published(record), "table9.csv")


@pytest.mark.parametrize("name", ["manifest.json", "plan.json"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("{")])
def test_a_record_without_a_readable_plan_or_manifest_is_unusable(record, name, damage, capsys):
    damage(record / name)
    with pytest.raises(UserError, match=name):
        verify_published(record)
    assert main(["verify", str(record)]) == 2
    assert name in capsys.readouterr().err


def test_the_command_prints_a_line_per_difference_and_exits_with_three(record, capsys):
    assert main(["verify", str(record)]) == 0
    assert "all the same" in capsys.readouterr().out
    path = record / "tables/mmpareto/table3.csv"
    path.write_text(path.read_text().replace("77.5", "97.5", 1))
    assert main(["verify", str(record)]) == 3
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == ["tables/mmpareto/table3.csv"] * 2
    assert "'97.5'" in lines[1]
    assert "'77.5'" in lines[1]
    assert lines[-1].endswith("2 differences")


# -- the current results -------------------------------------------------------------------------------------


@pytest.fixture
def written(project):
    plan = project.plan()
    for paper, table in plan.tables:
        write_table(plan, project.root, paper, table)
    for paper in plan.papers:
        compare_paper(plan, project.root, paper).write(project.root)
    write_report(plan, project.root)
    return project


def test_current_results_verify(written):
    done = verify_results(written.plan(), written.root)
    assert done.differences == []
    assert (done.runs, done.recomputed, done.results) == (8, 8, 10)


@pytest.mark.parametrize(
    ("where", "old", "new"),
    [
        ("results/tables/mmpareto/table3.html", "77.50", "97.50"),
        ("results/tables/mmpareto/table3.md", "77.50", "97.50"),
        ("results/comparison/mmpareto.csv", "77.5", "97.5"),
        ("results/summary.json", '"stand_in": 8', '"stand_in": 9'),
    ],
)
def test_a_change_in_current_results_is_found(written, where, old, new):
    path = written.root / where
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    done = verify_results(written.plan(), written.root)
    assert found(done, where)
    assert done.exit_code == 3


def test_a_changed_metric_among_current_results_is_found(written, rewrite):
    plan = written.plan()
    path = written.root / written.cell("uniform").run_directory(0) / plan.metrics_name
    rewrite(path, lambda m: m["selections"]["last"]["outputs"]["joint"].update(accuracy=1.0))
    assert any("stored 1.0, now 0.65" in line for line in found(verify_results(plan, written.root), path.name))


def test_a_deleted_record_among_current_results_is_found(written):
    (written.root / written.cell("uniform").run_directory(0) / "record.json").unlink()
    done = verify_results(written.plan(), written.root)
    assert any("is not there" in line for line in found(done, "seed-0/record.json"))


def test_a_deleted_run_shows_in_the_tables_that_it_was_in(written):
    shutil.rmtree(written.root / written.cell("uniform").run_directory(0))
    done = verify_results(written.plan(), written.root)
    assert any("1 runs" in note for note in done.notes)
    assert found(done, "tables/mmpareto/table3.csv")


def test_nothing_to_verify_is_an_error(project):
    shutil.rmtree(project.root / "results")
    with pytest.raises(UserError, match="nothing to verify"):
        verify_results(project.plan(), project.root)
    assert main(["verify", "--root", str(project.root), "--benchmark", "configs/benchmarks/small.yaml"]) == 2


def test_the_manifest_lists_every_file_that_git_holds(record):
    listed = json.loads((record / "manifest.json").read_text())["files"]
    assert set(listed) == {path.relative_to(record).as_posix() for path in published.record_files(record)}
    assert not any(name.startswith("predictions") for name in listed)
