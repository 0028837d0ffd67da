"""Whatever was changed after the fact is found, and named; what was not is computed again without the source."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from counterpoise.errors import UserError
from counterpoise.publication import record as published
from counterpoise.publication.verify import Verification, verify
from counterpoise.results.arrays import pack_arrays, read_arrays

SOURCES = ["the source of today", "another source"]


def first_run(record: Path) -> Path:
    return sorted(record.glob("runs/*/*/*/seed-0"))[0]


def found(done: Verification, end: str) -> list[str]:
    """The differences in a file whose name ends so."""
    return [str(difference) for difference in done.differences if difference.file.endswith(end)]


def change_csv(path: Path, change) -> None:
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    change(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def test_an_untouched_record_is_recomputed_from_its_predictions(record):
    done = verify(record)
    assert done.differences == []
    assert done.notes == []
    assert (done.exit_code, done.runs, done.recomputed) == (0, 8, 8)
    assert "8 of 8 finished runs recomputed from their predictions" in list(done.lines())[-1]


def test_a_record_verifies_though_today_every_run_has_another_key(record, monkeypatch):
    def moved_on(*arguments, **keywords):
        raise AssertionError("a published record must not be planned again")

    monkeypatch.setattr("counterpoise.planning.plan.make_plan", moved_on)
    assert verify(record).exit_code == 0


def test_a_record_of_another_source_is_compared_by_value(record, rewrite, forge):
    rewrite(record / "manifest.json", lambda manifest: manifest.update(source="0" * 64))
    (record / "tables/mmpareto/table3.md").write_text("# The same numbers in another layout\n")
    forge(record)
    done = verify(record)
    assert done.differences == []
    assert any("another version of the source" in note for note in done.notes)


@pytest.mark.parametrize("careful", [False, True], ids=["", "with a new manifest"])
def test_a_changed_value_is_found(record, forge, careful):
    def better(rows):
        (row,) = [
            row
            for row in rows
            if (row["method"], row["seed"], row["output"], row["metric"]) == ("joint", "0", "joint", "accuracy")
        ]
        row["value"] = "0.65"

    change_csv(record / "values.csv", better)
    if careful:
        forge(record)
    done = verify(record)
    assert done.exit_code == 3
    lines = found(done, "values.csv")
    assert any("seed 0 last.joint.accuracy: stored 0.65 of epoch 19, now 0.55 of epoch 19" in line for line in lines)
    assert any("sha256" in line for line in lines) != careful
    # Judged again from what the runs say, everything else is as it was.
    assert not found(done, "comparison/mmpareto.csv")


def test_a_value_that_was_left_out_or_added_is_found(record, forge):
    change_csv(record / "values.csv", lambda rows: rows.pop(0))
    forge(record)
    assert any("stored nothing, now 0." in line for line in found(verify(record), "values.csv"))
    change_csv(record / "values.csv", lambda rows: rows.append({**rows[0], "metric": "f2"}))
    forge(record)
    assert any(".f2: stored 0." in line and "now nothing" in line for line in found(verify(record), "values.csv"))


@pytest.mark.parametrize("careful", [False, True], ids=["", "with a new manifest"])
@pytest.mark.parametrize("suffix", [".md", ".tex", ".csv", ".html"])
def test_a_changed_table_is_found(record, forge, suffix, careful):
    path = record / f"tables/mmpareto/table3{suffix}"
    text = path.read_text()
    assert "77.5" in text
    path.write_text(text.replace("77.5", "97.5", 1))
    if careful:
        forge(record)
    lines = found(verify(record), path.name)
    assert lines
    assert not careful or any("97.5" in line and "77.5" in line for line in lines)


@pytest.mark.parametrize("source", SOURCES)
def test_a_changed_verdict_is_found_whatever_source_wrote_it(record, rewrite, forge, source):
    def flatter(rows):
        (row,) = [r for r in rows if r["row"] == "Uniform baseline" and r["column"] == "cg_mnist.accuracy"]
        row["verdict"] = "reproduced"

    change_csv(record / "comparison/mmpareto.csv", flatter)
    if source == "another source":
        rewrite(record / "manifest.json", lambda manifest: manifest.update(source="0" * 64))
    forge(record)
    assert found(verify(record), "comparison/mmpareto.csv") == [
        "comparison/mmpareto.csv: table3.Uniform baseline.cg_mnist.accuracy verdict: "
        "stored 'reproduced', now 'stand-in'"
    ]


def test_a_changed_claim_and_a_line_that_is_gone_are_found(record, forge):
    change_csv(record / "comparison/mmpareto.claims.csv", lambda rows: rows[0].update(verdict="supported"))
    change_csv(record / "comparison/mmpareto.seeds.csv", lambda rows: rows.pop())
    forge(record)
    done = verify(record)
    assert "stored 'supported'" in found(done, ".claims.csv")[0]
    assert found(done, ".seeds.csv")[0].endswith("stored no line, now a line")


def test_a_flattering_summary_and_readme_are_found(record, rewrite, forge):
    rewrite(record / "summary.json", lambda summary: summary["papers"]["mmpareto"].update(answer="All is well"))
    readme = record / "README.md"
    readme.write_text(readme.read_text().replace("0 of 226 numbers", "226 of 226 numbers"))
    forge(record)
    done = verify(record)
    assert "All is well" in found(done, "summary.json")[0]
    assert "226 of 226" in found(done, "README.md")[0]


@pytest.mark.parametrize("careful", [False, True], ids=["", "with its digest in the run's record"])
def test_a_changed_prediction_is_found(record, rewrite, forge, careful):
    folder = first_run(record)
    arrays = read_arrays(folder / "predictions.npz")
    arrays["last.logits.joint"] = arrays["last.logits.joint"][::-1].copy()
    (folder / "predictions.npz").write_bytes(pack_arrays(arrays))
    if careful:
        sha256 = published.sha256_file(folder / "predictions.npz")
        rewrite(folder / "record.json", lambda run: run["files"].update({"predictions.npz": sha256}))

        def everywhere(data):
            (run,) = [run for run in data["runs"] if folder.as_posix().endswith(f"{run['cell']}/seed-{run['seed']}")]
            run["files"]["predictions.npz"] = run["record"]["files"]["predictions.npz"] = sha256

        rewrite(record / "runs.json", everywhere)
        forge(record)
    done = verify(record)
    assert done.exit_code == 3
    if careful:
        assert any("last.joint.accuracy" in line for line in found(done, "values.csv"))
        assert any("which examples are right" in line for line in found(done, "correct.npz"))
    else:
        assert any("its digest is not the one on record" in line for line in found(done, "runs.json"))


def test_counts_and_examples_that_were_changed_are_found(record, forge):
    for name in ("correct.npz", "details.npz"):
        arrays = read_arrays(record / name)
        first = next(iter(arrays))
        arrays[first] = arrays[first][::-1].copy()
        (record / name).write_bytes(pack_arrays(arrays))
    forge(record)
    done = verify(record)
    assert found(done, "correct.npz")
    assert found(done, "details.npz")


@pytest.mark.parametrize("name", ["predictions.npz", "history.csv.gz", "record.json"])
@pytest.mark.parametrize("damage", ["gone", "truncated", "other bytes"])
def test_a_damaged_file_of_a_run_is_a_difference_not_the_end(record, forge, name, damage):
    path = first_run(record) / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20] if damage == "truncated" else b"{}")
    forge(record)  # as if the manifest had never known it
    done = verify(record)
    assert done.exit_code == 3
    assert any("seed 0" in line for line in found(done, "runs.json"))


def test_a_run_that_is_not_listed_any_more_is_found(record, rewrite, forge):
    rewrite(record / "runs.json", lambda data: data["runs"].pop())
    rows = record / "values.csv"
    rows.write_text("".join(line for line in rows.read_text().splitlines(True) if ",1,completed" not in line))
    with pytest.raises(UserError, match=r"does not fit|is not in"):
        verify(record)  # its arrays are still there
    for name in ("correct.npz", "details.npz"):
        arrays = {key: value for key, value in read_arrays(record / name).items() if "|1|" not in key}
        (record / name).write_bytes(pack_arrays(arrays))
    forge(record)
    assert any("stored not listed, now planned by layout.json" in line for line in found(verify(record), "runs.json"))


def test_a_run_whose_end_was_changed_is_found(record, rewrite, forge):
    def diverge(data):
        data["runs"][0].update(status="completed", reason="")
        data["runs"][0]["record"].update(status="diverged", reason="loss is not finite")

    rewrite(record / "runs.json", diverge)
    forge(record)
    assert any(
        "record: stored as in record.json, now another one" in line for line in found(verify(record), "runs.json")
    )


def test_a_changed_printed_number_is_found(record, forge):
    path = record / "papers/mmpareto/table3.yaml"
    path.write_text(path.read_text().replace("79.35", "89.35"))
    forge(record)
    done = verify(record)
    assert any("'79.35', now '89.35'" in line for line in found(done, "comparison/mmpareto.csv"))


def test_a_file_that_was_added_or_removed_is_found(record):
    (record / "tables/mmpareto/table9.csv").write_text("row\n")
    (record / "report/index.html").unlink()
    done = verify(record)
    assert found(done, "table9.csv")
    assert found(done, "report/index.html")[0].endswith("now no such file")


@pytest.mark.parametrize("name", ["manifest.json", "layout.json", "runs.json", "values.csv", "correct.npz"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("{")])
def test_a_record_whose_results_cannot_be_read_is_unusable_and_the_file_is_named(record, name, damage):
    damage(record / name)
    read = published.read_manifest if name == "manifest.json" else verify
    with pytest.raises(UserError, match=name) as refused:
        read(record)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["manifest.json", "layout.json", "runs.json"])
def test_a_torn_file_of_a_record_is_to_be_restored_as_it_cannot_be_made_again(record, name):
    (record / name).write_text("{")
    with pytest.raises(UserError, match="cannot be made again: restore the file from Git"):
        verify(record)


def test_a_torn_file_of_own_results_is_made_again(project):
    (project.root / "results/small/layout.json").write_text("{")
    with pytest.raises(UserError, match="delete it to have it made again"):
        verify(project.root / "results/small")


def test_a_record_of_another_schema_is_refused_by_its_number(record):
    manifest = json.loads((record / "manifest.json").read_text()) | {"schema": 1}
    (record / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"manifest\.json: 'schema' is 1, must be 2"):
        verify(record)


# -- one's own results ---------------------------------------------------------------------------------------


def own(project) -> Verification:
    return verify(project.root / "results/small", project.root / "configs")


def test_own_results_are_recomputed_by_the_same_way(project):
    done = own(project)
    assert done.differences == []
    assert (done.runs, done.recomputed, done.texts, done.files) == (8, 8, 12, 0)


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        ("tables/mmpareto/table3.html", "77.50", "97.50"),
        ("tables/mmpareto/table3.md", "77.50", "97.50"),
        ("comparison/mmpareto.csv", "77.5", "97.5"),
        ("summary.json", '"stand_in": 6', '"stand_in": 9'),
    ],
)
def test_a_change_in_own_results_is_found(project, place, old, new):
    path = project.root / "results/small" / place
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    done = own(project)
    assert found(done, place)
    assert done.exit_code == 3


def test_a_deleted_or_swapped_run_is_found(project):
    folder = project.root / project.cell("uniform").run_directory(0)
    other = folder.with_name("seed-1")
    shutil.copy(other / "predictions.npz", folder / "predictions.npz")
    assert any("uniform" in line and "digest" in line for line in found(own(project), "runs.json"))
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    assert any("'seed' is 1" in line or "stored 0, now 1" in line for line in map(str, own(project).differences))
    shutil.rmtree(folder)
    assert any("is not there" in line for line in found(own(project), "runs.json"))


def test_nothing_to_verify_is_an_error(project):
    shutil.rmtree(project.root / "results/small")
    with pytest.raises(UserError, match=r"layout\.json: the layout of results is not there"):
        own(project)


def test_predictions_of_extreme_logits_verify(project, derive):
    """What cannot overflow in a run must not when its numbers are computed again."""
    cell = project.cell("uniform")
    folder = project.root / cell.run_directory(0)
    arrays = read_arrays(folder / "predictions.npz")
    for name in arrays:
        if "logits" in name:
            arrays[name] = (arrays[name] * np.float32(1e37)).astype(np.float32)
    (folder / "predictions.npz").write_bytes(pack_arrays(arrays))
    project.record(folder, cell, 0)
    derive(project)
    assert own(project).differences == []
