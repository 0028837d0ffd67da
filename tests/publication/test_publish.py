"""A published record holds what its numbers rest on, little of it in Git, and nothing of the machine."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from explained import write_explanation

from counterpoise.errors import UserError
from counterpoise.files import sha256_file
from counterpoise.judging.compare import compare_paper
from counterpoise.planning.plan import Cell, PlannedValue, PreparedDataset, make_plan
from counterpoise.publication import publish as publication
from counterpoise.publication.publish import publish, rewrite_readme
from counterpoise.publication.record import (
    StoredCell,
    StoredData,
    StoredValue,
    find_record,
    read_published,
    stored_cells,
)
from counterpoise.publication.record import _cell as cell_of
from counterpoise.publication.verify import verify_published


def texts(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")
    done = subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def test_every_run_is_there_with_record_metrics_and_learning_curves(record, once):
    plan = once.plan()
    for cell in plan.cells:
        for seed in plan.seeds:
            place, source = record / "runs" / cell.name / f"seed-{seed}", once.root / cell.run_directory(seed)
            assert (place / plan.metrics_name).read_bytes() == (source / plan.metrics_name).read_bytes()
            assert gzip.decompress((place / "history.csv.gz").read_bytes()) == (source / "history.csv").read_bytes()
            found, own = (json.loads((folder / "record.json").read_text()) for folder in (place, source))
            assert found | {"command": ""} == own | {"command": ""}


def test_the_plan_that_is_read_back_gives_the_same_numbers_verdicts_and_claims(record, once):
    ours = compare_paper(once.plan(), once.root, "mmpareto")
    theirs = compare_paper(read_published(record).plan, record, "mmpareto")
    assert theirs.texts() == ours.texts()


def test_everything_that_a_planned_value_and_a_cell_are_is_stored():
    def names(kind) -> set[str]:
        return {field.name for field in dataclasses.fields(kind)}

    assert set(StoredValue.model_fields) == names(PlannedValue)
    assert set(StoredCell.model_fields) == names(Cell)
    assert set(StoredData.model_fields) == names(PreparedDataset)


def test_the_folds_that_seeds_ran_on_are_in_the_record(repository, tmp_path):
    plan = make_plan(repository, repository / "configs/benchmarks/mlb.yaml")
    (cell, *_) = (cell for cell in plan.cells if cell.folds)
    (data, *_) = (one for one in stored_cells(plan) if one["key"] == cell.key)
    found = cell_of(StoredCell.model_validate(json.loads(json.dumps(data))), {}, tmp_path)
    assert [found.data_of(seed) for seed in plan.seeds] == [cell.data_of(seed) for seed in plan.seeds]
    assert len({found.data_of(seed).name for seed in plan.seeds}) == 3


def test_nothing_of_the_machine_is_in_the_record(record):
    for name, data in texts(record).items():
        if not name.startswith("predictions"):
            assert b"/home/someone" not in data, name
            assert b"/somewhere/here" not in data, name


def test_a_local_folder_in_the_benchmark_file_stays_local(project):
    project.benchmark(mirror="/somewhere/here", data_roots={"cg_digits": "/somewhere/else"})
    folder = publish(project.plan(), project.root).folder
    assert b"/somewhere" not in b"".join(
        (folder / name).read_bytes() for name in ("plan.json", "benchmark.yaml", "README.md")
    )
    assert verify_published(folder).exit_code == 0


def test_overrides_are_in_the_record(project):
    folder = publish(project.plan(selection="last", evaluation={"ece_bins": 15}), project.root).folder
    assert read_published(folder).stored.overrides == {"selection": "last", "evaluation": {"ece_bins": 15}}


def test_publishing_twice_gives_the_same_bytes(project):
    folder = project.root / "results/published/small"
    before = texts(folder)
    assert publish(project.plan(), project.root).folder == folder
    assert texts(folder) == before


def test_the_words_of_a_person_survive_another_publication(project):
    folder = project.root / "results/published/small"
    (folder / "notes.md").write_text("The ordering holds, to our surprise.\n")
    publish(project.plan(), project.root)
    assert (folder / "notes.md").read_text() == "The ordering holds, to our surprise.\n"
    readme = (folder / "README.md").read_text()
    assert readme.index("to our surprise") < readme.index("## What was run")
    assert verify_published(folder).exit_code == 0


def test_notes_enter_the_readme_without_the_runs(record):
    (record / "notes.md").write_text("Written years later.\n")
    rewrite_readme(record)
    assert "Written years later." in (record / "README.md").read_text()
    assert verify_published(record).exit_code == 0


def test_the_readme_says_what_was_run_and_what_came_of_it(record):
    text = (record / "README.md").read_text()
    for fact in ("An Old Processor", "8 completed", "seeds 0, 1", "c0ffee", "batch size", "stand-in"):
        assert fact in text, fact


def test_a_record_of_seeds_that_were_added_holds_those_that_each_cell_had(project, finish):
    plan = project.plan(seeds="auto", seed_looks=[2, 3])
    finish(project, seeds=[0, 1, 2])
    more = {cell.name: 3 if cell.method == "mmpareto" else 2 for cell in plan.cells}
    plan = dataclasses.replace(plan, allotted=more)
    folder = publish(plan, project.root).folder
    assert "2 to 3 seeds per cell (0, 1, 2)" in (folder / "README.md").read_text()
    ours = compare_paper(plan, project.root, "mmpareto").texts()
    assert {row.split(",")[9] for row in ours["mmpareto.csv"].splitlines()[1:]} >= {"2", "3"}
    for name, text in ours.items():
        assert (folder / "comparison" / name).read_text() == text
    assert verify_published(folder).exit_code == 0


def test_the_readme_gives_the_optimism_of_choosing_on_the_test_set(project, rewrite):
    plan = project.plan()
    for cell in plan.cells:
        for seed in plan.seeds:

            def add(metrics):
                outputs = metrics["selections"]["last"]["outputs"]
                better = {o: {m: v + 0.015 for m, v in values.items()} for o, values in outputs.items()}
                metrics["selections"]["best_test"] = {"epoch": 1, "outputs": better}

            rewrite(project.root / cell.run_directory(seed) / plan.metrics_name, add)
    folder = publish(plan, project.root).folder
    lines = (folder / "README.md").read_text().splitlines()
    assert any("cg_mnist.accuracy" in line and "+1.50" in line for line in lines)


def test_the_outcome_of_a_search_is_in_the_record(project):
    path = project.write("results/search/small.json", '{"schema": 1, "scores": {}}')
    folder = publish(project.plan(), project.root).folder
    assert (folder / "search.json").read_text() == path.read_text()
    assert "search.json" in (folder / "README.md").read_text()


@pytest.fixture
def older(project, rewrite):
    """The project with every run under the key that an older source gave it."""

    def rename(data: dict) -> None:
        data["key"] = other

    for cell in project.plan().cells:
        folder = project.root / cell.directory
        other = cell.key[::-1]
        for path in folder.glob("seed-*/*.json"):
            rewrite(path, rename)
        for path in folder.glob("seed-*/metrics.*.json"):
            path.rename(path.with_name("metrics.000011112222.json"))
        folder.rename(folder.with_name(f"{cell.method}-{cell.variant}.{other}"))
    return project


def test_runs_of_an_older_source_are_published_only_on_request_and_that_is_said(older):
    with pytest.raises(UserError, match="nothing to publish"):
        publish(older.plan(), older.root)
    folder = publish(older.plan(), older.root, any_source=True).folder
    done = verify_published(folder)
    assert (done.exit_code, done.runs, done.recomputed) == (0, 8, 8)
    assert "8 runs were made by another version" in (folder / "README.md").read_text()
    today = {cell.key for cell in older.plan().cells}
    assert {cell.key for cell in read_published(folder).plan.cells} == {key[::-1] for key in today}


def test_runs_that_were_configured_otherwise_are_never_taken(older, rewrite):
    for path in older.root.glob("results/runs/*/*/uniform-*/seed-*/record.json"):
        rewrite(path, lambda record: record["identity"]["config"]["protocol"].update(epochs=1))
    with pytest.raises(UserError, match="2 of 8 runs"):
        publish(older.plan(), older.root, any_source=True)


def test_two_older_sources_with_equally_many_runs_are_not_guessed_between(older, rewrite):
    (folder,) = older.root.glob("results/runs/*/*/uniform-*")
    twin = shutil.copytree(folder, folder.with_name("uniform-published.abcabcabcabc"))
    for path in twin.glob("seed-*/*.json"):
        rewrite(path, lambda data: data.update(key="abcabcabcabc"))
    with pytest.raises(UserError, match="several of the same configuration"):
        publish(older.plan(), older.root, any_source=True)


def test_an_unfinished_benchmark_is_published_only_on_request(project):
    cell = project.cell("uniform")
    (project.root / cell.run_directory(1) / project.plan().metrics_name).unlink()
    for path in (project.root / cell.run_directory(0)).iterdir():
        path.unlink()
    with pytest.raises(UserError, match="2 of 8 runs"):
        publish(project.plan(), project.root)
    folder = publish(project.plan(), project.root, "part", partial=True).folder
    assert folder.name == "part"
    assert "6 completed, 2 missing" in (folder / "README.md").read_text()
    assert verify_published(folder).differences == []


def test_a_failed_run_is_in_the_record_with_its_reason_and_without_the_machine(project):
    folder = project.root / project.cell("uniform").run_directory(0)
    key = project.cell("uniform").key
    for path in folder.iterdir():
        path.unlink()
    note = {"schema": 1, "key": key, "seed": 0, "status": "out_of_memory", "reason": "2 GiB short"}
    told = json.dumps({**note, "host": "/somewhere/here", "command": "/somewhere/here", "log": "x"})
    (folder / "failure.json").write_text(told)
    record = publish(project.plan(), project.root, partial=True).folder
    assert "1 failed" in (record / "README.md").read_text()
    assert "2 GiB short" in (record / "comparison/mmpareto.csv").read_text()
    (copied,) = record.rglob("failure.json")
    assert json.loads(copied.read_text()) == note
    assert verify_published(record).differences == []


def test_a_refused_publication_leaves_the_record_as_it_was(project, monkeypatch):
    folder = project.root / "results/published/small"
    before = texts(folder)
    monkeypatch.setattr(publication, "LIMIT", 1000)
    with pytest.raises(UserError, match="1,000 are allowed"):
        publish(project.plan(), project.root)
    assert texts(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


def test_learning_curves_are_left_out_where_there_is_no_room_and_that_is_said(project, monkeypatch):
    monkeypatch.setattr(publication, "LIMIT", 400_000)
    monkeypatch.setattr(publication.gzip, "compress", lambda data, mtime: data * 20_000)
    done = publish(project.plan(), project.root)
    assert done.left_out == ("history.csv",)
    assert not list(done.folder.rglob("history*"))
    assert "history.csv" in (done.folder / "README.md").read_text()
    found = verify_published(done.folder)
    assert found.exit_code == 0
    assert any("history.csv" in note for note in found.notes)


def test_explanations_of_this_benchmark_are_published_and_no_others(project):
    for name, benchmark in (("mmpareto.table3.a", "small"), ("mmpareto.table3.b", "other")):
        for suffix in (".md", ".csv"):
            project.write(f"results/explain/{name}{suffix}", name)
        write_explanation(project.root, name, "a cell", benchmark)
    folder = publish(project.plan(), project.root).folder
    assert sorted(path.name for path in (folder / "explain").iterdir()) == [
        f"mmpareto.table3.a{suffix}" for suffix in (".csv", ".json", ".md")
    ]
    assert "(explain/mmpareto.table3.a.md)" in (folder / "README.md").read_text()
    assert verify_published(folder).exit_code == 0


def test_git_takes_the_record_but_not_the_predictions(project, repository):
    (project.root / ".gitignore").write_bytes((repository / ".gitignore").read_bytes())
    git(project.root, "init", "-q")
    git(project.root, "add", "-A")
    held = set(git(project.root, "ls-files", "results").split())
    record = project.root / "results/published/small"
    wanted = {
        str(path.relative_to(project.root)) for path in record.rglob("*") if path.is_file() and path.suffix != ".npz"
    }
    assert held == wanted


@pytest.mark.slow
def test_dvc_carries_the_predictions_to_a_fresh_clone(project, repository, tmp_path):
    root = project.root
    (root / ".gitignore").write_bytes((repository / ".gitignore").read_bytes())
    git(root, "init", "-q")

    def dvc(folder: Path, *arguments: str) -> None:
        subprocess.run(["dvc", *arguments], cwd=folder, check=True, capture_output=True)

    dvc(root, "init", "-q")
    done = publish(project.plan(), root)
    assert [folder.name for folder in done.tracked] == ["predictions"]
    dvc(root, "remote", "add", "-q", "-d", "lab", str(tmp_path / "remote"))
    git(root, "add", "-A")
    git(root, "commit", "-qm", "A record")
    dvc(root, "push", "-q")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(root), str(clone))
    record = find_record(clone, "small")
    bare = verify_published(record)
    assert (bare.exit_code, bare.recomputed, bare.by_digest) == (0, 0, 8)
    dvc(clone, "pull", "-q", str(record / "predictions.dvc"))
    pulled = verify_published(record)
    assert (pulled.exit_code, pulled.recomputed, pulled.by_digest) == (0, 8, 0)


def test_an_unknown_record_is_named_with_the_nearest(project):
    with pytest.raises(UserError, match="did you mean 'small'"):
        find_record(project.root, "smal")


def test_the_digests_of_the_papers_files_are_in_the_plan(record):
    stored = read_published(record).stored.papers["mmpareto"]
    assert stored["table3.yaml"] == sha256_file(record / "papers/mmpareto/table3.yaml")
