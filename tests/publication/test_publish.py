"""A published record holds what its numbers rest on, within a budget, and nothing of the machine."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from counterpoise.cli.app import main
from counterpoise.errors import UserError
from counterpoise.judging.compare import judge
from counterpoise.judging.explain import explain
from counterpoise.publication import publish as publication
from counterpoise.publication.publish import judge_again, publish
from counterpoise.publication.record import find_record, read_published
from counterpoise.publication.verify import verify
from counterpoise.reporting.explain import write_explanation
from counterpoise.results.explained import explanations_folder
from counterpoise.runs.collect import collect
from counterpoise.runs.explain import ask, collect_flips, collect_written_flips


def texts(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")
    done = subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def test_every_run_is_there_with_its_record_predictions_and_learning_curve(record, once):
    plan = once.plan()
    for cell in plan.cells:
        for seed in plan.seeds:
            place, source = record / "runs" / cell.name / f"seed-{seed}", once.root / cell.run_directory(seed)
            assert (place / "predictions.npz").read_bytes() == (source / "predictions.npz").read_bytes()
            assert gzip.decompress((place / "history.csv.gz").read_bytes()) == (source / "history.csv").read_bytes()
            found, own = (json.loads((folder / "record.json").read_text()) for folder in (place, source))
            assert found | {"attempts": []} == own | {"attempts": []}


def test_the_record_gives_the_same_numbers_verdicts_and_claims_as_the_results(record, once, derive):
    paper = once.plan().papers["mmpareto"]
    theirs = read_published(record)
    ours = {path.name: path.read_text() for path in (once.root / "results/small/comparison").iterdir()}
    assert judge(paper, theirs.results).texts() == ours
    for name in ("values.csv", "correct.npz", "details.npz", "tables/mmpareto/table3.md"):
        assert (record / name).read_bytes() == (once.root / "results/small" / name).read_bytes()


def test_it_opens_as_a_report(record):
    page = (record / "report/index.html").read_text()
    assert "<html" in page
    assert "MMPareto" in page
    assert len(list((record / "report/cells").iterdir())) == 4


def test_nothing_of_the_machine_is_in_the_record(record):
    for name, data in texts(record).items():
        for local in (b"/home/someone", b"/somewhere/here", b"a-machine", str(record.parent).encode()):
            assert local not in data, name


def test_a_local_folder_in_the_benchmark_file_stays_local(project, derive):
    project.benchmark(mirror="/somewhere/here", data_roots={"cg_digits": "/somewhere/else"})
    derive(project)
    folder = publish(project.root, "small").folder
    assert b"/somewhere" not in b"".join(texts(folder).values())
    assert verify(folder).exit_code == 0


def test_publishing_twice_gives_the_same_bytes(project):
    folder = project.root / "results/published/small"
    before = texts(folder)
    assert publish(project.root, "small").folder == folder
    assert texts(folder) == before


def test_the_words_of_a_person_survive_another_publication(project):
    folder = project.root / "results/published/small"
    (folder / "notes.md").write_text("The ordering holds, to our surprise.\n")
    publish(project.root, "small")
    assert (folder / "notes.md").read_text() == "The ordering holds, to our surprise.\n"
    readme = (folder / "README.md").read_text()
    assert readme.index("to our surprise") < readme.index("## What was run")
    assert verify(folder).exit_code == 0


def test_notes_enter_the_readme_without_the_runs(record):
    (record / "notes.md").write_text("Written years later.\n")
    judge_again(record, record)
    assert "Written years later." in (record / "README.md").read_text()
    assert verify(record).exit_code == 0


def test_a_record_is_judged_by_the_rules_and_metrics_of_today(record, forge, tmp_path, repository):
    shutil.copytree(repository / "configs/papers", tmp_path / "papers")
    claims = tmp_path / "papers/mmpareto/claims.yaml"
    claims.write_text(claims.read_text().replace("quote: ", "quote: Today's words of ", 1))
    values = pd.read_csv(record / "values.csv", dtype=str, keep_default_na=False)
    values[values["metric"] != "ece"].to_csv(record / "values.csv", index=False)
    forge(record)
    assert verify(record).exit_code == 3, "a metric that is computed today is not in it"
    runs = texts(record / "runs")
    assert judge_again(record, tmp_path) == ()
    assert verify(record).exit_code == 0
    assert texts(record / "runs") == runs
    assert "Today's words of " in (record / "comparison/mmpareto.claims.csv").read_text()
    assert ",ece," in (record / "values.csv").read_text()


def test_a_record_with_a_wrong_value_is_not_judged_anew(record, forge):
    values = pd.read_csv(record / "values.csv", dtype=str, keep_default_na=False)
    values.loc[0, "value"] = "0.99"
    values.to_csv(record / "values.csv", index=False)
    forge(record)
    before = texts(record)
    with pytest.raises(UserError, match=r"values\.csv"):
        judge_again(record, record)
    assert texts(record) == before


def test_the_readme_says_what_was_run_and_what_came_of_it(record):
    text = (record / "README.md").read_text()
    for fact in ("An Old Processor", "8 completed", "seeds 0, 1", "c0ffee", "batch size", "stand-in"):
        assert fact in text, fact
    assert "**Not answered here: nothing was compared.** 0 of 226 numbers compared." in text


def test_the_readme_gives_the_optimism_of_choosing_on_the_test_set(project, derive):
    plan = project.plan()
    for cell in plan.cells:
        for seed in plan.seeds:
            selections = {"last": {"epoch": 19, "accuracy": None}, "best_test": {"epoch": 1, "accuracy": 0.9}}
            folder = project.run(cell, seed, 11 + seed)
            with np.load(folder / "predictions.npz") as stored:
                arrays = dict(stored)
            for name in [name for name in arrays if name.startswith("last.")]:
                # One more of the twenty predictions is right: the next one after those that are.
                better = arrays[name].copy()
                better[11 + seed] = np.roll(better[11 + seed], -1)
                arrays[name.replace("last", "best_test")] = better
            np.savez(folder / "predictions.npz", **arrays)
            project.record(folder, cell, seed, selections=selections)
    derive(project)
    folder = publish(project.root, "small").folder
    lines = (folder / "README.md").read_text().splitlines()
    assert any("CG-MNIST Acc" in line and "+5.00" in line for line in lines)


def test_an_unfinished_benchmark_is_published_only_on_request(project, derive):
    for seed in (0, 1):
        for path in (project.root / project.cell("uniform").run_directory(seed)).iterdir():
            path.unlink()
    derive(project)
    with pytest.raises(UserError, match="2 of 8 runs are missing or failed"):
        publish(project.root, "small")
    folder = publish(project.root, "small", "part", partial=True).folder
    assert folder.name == "part"
    assert "6 completed, 2 missing" in (folder / "README.md").read_text()
    assert verify(folder).differences == []


@pytest.mark.parametrize("most", [publication.FULL_PREDICTIONS, 1000])
def test_an_extended_record_is_the_one_that_all_runs_would_have_given(project, derive, monkeypatch, most):
    """Seed 0 was published on one machine, seed 1 is trained on another that has no run of seed 0."""
    monkeypatch.setattr(publication, "FULL_PREDICTIONS", most)
    folder = publish(project.root, "small").folder
    whole = texts(folder)
    away = project.root / "away"

    def hide(seed: int) -> None:
        for cell in project.plan().cells:
            shutil.move(project.root / cell.run_directory(seed), away / cell.run_directory(seed))

    hide(1)
    derive(project)
    assert texts(publish(project.root, "small", partial=True).folder) != whole
    shutil.move(away / "results/runs", project.root / "results/held")
    hide(0)
    shutil.copytree(project.root / "results/held", project.root / "results/runs", dirs_exist_ok=True)
    derive(project)
    with pytest.raises(UserError, match="4 of 8 runs are missing"):
        publish(project.root, "small")
    assert publish(project.root, "small", extend=True).runs == 8
    assert texts(folder) == whole
    assert verify(folder).recomputed == 8


def test_an_extended_record_may_still_lack_runs_and_says_so(project, derive):
    for cell in project.plan().cells:
        shutil.rmtree(project.root / cell.run_directory(0))
    derive(project)
    publish(project.root, "small", partial=True)
    shutil.rmtree(project.root / project.cell("uniform").run_directory(1))
    derive(project)
    with pytest.raises(UserError, match="4 of 8 runs are missing"):
        publish(project.root, "small", extend=True)
    folder = publish(project.root, "small", partial=True, extend=True).folder
    assert "4 missing, 4 completed" in (folder / "README.md").read_text()


def test_a_record_of_another_key_is_not_extended_and_stays(project, derive, finish):
    before = texts(project.root / "results/published/small")
    protocol = project.root / "configs/protocols/digits.yaml"
    protocol.write_text(protocol.read_text().replace("batch_size: ", "batch_size: 1"))
    finish(project)
    derive(project)
    with pytest.raises(UserError, match="has no run of the keys and seeds of 'small'"):
        publish(project.root, "small", extend=True)
    assert texts(project.root / "results/published/small") == before


def test_there_has_to_be_a_record_to_extend(project):
    with pytest.raises(UserError, match=r"smal: no published record.*small"):
        publish(project.root, "small", "smal", extend=True)


def test_a_failed_run_is_in_the_record_with_its_reason_and_without_the_machine(project, derive):
    cell = project.cell("uniform")
    project.fail(cell, 0, "out_of_memory", f"2 GiB short in {project.root.resolve()}/logs/x and /opt/thing")
    derive(project)
    record = publish(project.root, "small", partial=True).folder
    assert "1 out of memory" in (record / "README.md").read_text()
    (run,) = [run for run in read_published(record).results.runs if not run.finished]
    assert run.reason == "2 GiB short in <local> and <local>"
    assert verify(record).differences == []


def test_results_that_do_not_fit_their_runs_are_not_published(project):
    path = project.root / "results/small/values.csv"
    path.write_text(path.read_text().replace("0.65,20", "0.75,20", 1))
    before = texts(project.root / "results/published/small")
    with pytest.raises(
        UserError, match=r"is not what its runs give .*values\.csv: .*stored 0.75 of epoch 19, now 0.65"
    ):
        publish(project.root, "small")
    assert texts(project.root / "results/published/small") == before


# -- the budget ----------------------------------------------------------------------------------------------


def test_large_predictions_become_classes_and_confidences_from_which_every_run_is_recomputed(project, monkeypatch):
    monkeypatch.setattr(publication, "FULL_PREDICTIONS", 1000)
    done = publish(project.root, "small")
    assert done.compact
    assert not list(done.folder.rglob("predictions.npz"))
    assert len(list(done.folder.rglob("predictions.compact.npz"))) == 8
    found = verify(done.folder)
    assert (found.differences, found.recomputed) == ([], 8)
    assert "classes and confidences" in (done.folder / "README.md").read_text()


def test_packing_that_moves_a_value_within_the_tolerance_moves_no_written_digit(project, monkeypatch):
    """Tables are compared as written; a value at the edge of its last digit must not tip over."""
    path = project.root / "results/small/values.csv"
    lines = path.read_text().splitlines()
    moved = []
    for line in lines:
        if ",ece," in line:
            *place, value, n_test = line.split(",")
            moved.append(",".join([*place, f"{float(value) * (1 + 4e-7):.12g}", n_test]))
    assert moved
    path.write_text("\n".join([line for line in lines if ",ece," not in line] + moved) + "\n")
    monkeypatch.setattr("counterpoise.publication.verify.WRITTEN_TOLERANCE", 1e-12)
    assert verify(publish(project.root, "small").folder).differences == []


def published_size(root: Path) -> int:
    """How many bytes all records of a project have together."""
    return sum(path.stat().st_size for path in (root / "results/published").rglob("*") if path.is_file())


def test_what_has_no_room_is_left_out_and_that_is_said(project, monkeypatch):
    monkeypatch.setattr(publication, "FULL_PREDICTIONS", 1000)
    monkeypatch.setattr(publication, "FOR_PAGES", publication.BUDGET - 10_000 - published_size(project.root))
    done = publish(project.root, "small", "second")
    assert done.left_out == ("predictions.npz", "history.csv")
    assert not list(done.folder.rglob("*.npz.*")) + list(done.folder.rglob("history*"))
    found = verify(done.folder)
    assert (found.exit_code, found.recomputed) == (0, 0)
    assert "not in the record, for its size: history.csv, predictions.npz of the runs" in found.notes
    assert "0 of 8 finished runs recomputed" in list(found.lines())[-1]


def test_a_refused_publication_leaves_the_record_as_it_was(project, monkeypatch):
    folder = project.root / "results/published/small"
    before = texts(folder)
    monkeypatch.setattr(publication, "BUDGET", 100_000)
    with pytest.raises(UserError, match="more than the 100,000 that the project keeps in Git"):
        publish(project.root, "small")
    assert texts(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


def test_the_budget_is_of_all_records_together(project, monkeypatch):
    size = published_size(project.root)
    monkeypatch.setattr(publication, "BUDGET", int(1.5 * size))
    publish(project.root, "small")  # in place of the first
    with pytest.raises(UserError, match="of the other records"):
        publish(project.root, "small", "second")


# -- explanations, Git ---------------------------------------------------------------------------------------


UNIFORM = "mmpareto.table3.Uniform baseline.cg_mnist.accuracy"
EXPLAINED = "explain/mmpareto.table3.Uniform_baseline.cg_mnist.accuracy"


def give_explanation(project, factor: str = "learning_rate", seeds: tuple[int, ...] = (0, 1)) -> str:
    """Finish the runs of one flip of the uniform baseline, write the explanation, and return the flip's cell."""
    plan = project.plan()
    question = ask(plan, project.root, UNIFORM)
    flip = next(flip for flip in question.flips if flip.factor == factor)
    for seed in seeds:
        project.run(plan.cell(flip.cell), seed, 17 + seed)  # 4 more of 20 than the baseline
    explain_again(project)
    return flip.cell


def explain_again(project) -> None:
    """Write the explanation of the uniform baseline from the runs that are there."""
    plan = project.plan()
    question = ask(plan, project.root, UNIFORM)
    found = explain(
        question, plan.papers["mmpareto"], collect(plan, project.root), collect_flips(plan, project.root, question)
    )
    write_explanation(explanations_folder(project.root, "small"), found)


def publish_explained(project, **options):
    return publish(project.root, "small", flips=collect_written_flips(project.plan(), project.root), **options)


def test_an_explanation_is_published_with_the_runs_that_it_rests_on(project):
    flip = give_explanation(project)
    folder = publish_explained(project).folder
    assert f"({EXPLAINED}.md)" in (folder / "README.md").read_text()
    assert (folder / f"{EXPLAINED}.md").read_text() == (
        project.root / f"results/explain/small/{Path(EXPLAINED).name}.md"
    ).read_text()
    assert {path.name for path in (folder / "runs" / flip).iterdir()} == {"seed-0", "seed-1"}
    done = verify(folder)
    assert (done.differences, done.recomputed, done.runs) == ([], 10, 10)


def test_a_record_explains_its_numbers_by_itself(project, tmp_path, capsys):
    give_explanation(project)
    assert main(["explain", UNIFORM, "--root", str(project.root), "-b", "small"]) == 0
    own = capsys.readouterr().out
    alone = shutil.copytree(publish_explained(project).folder, tmp_path / "alone")
    assert main(["explain", UNIFORM, "--record", str(alone)]) == 0
    assert capsys.readouterr().out == own
    assert "+20.00" in own
    assert main(["explain", UNIFORM.replace("Uniform baseline", "MMPareto@released"), "--record", str(alone)]) == 2
    assert UNIFORM in capsys.readouterr().err, "it names those that there are"
    assert main(["explain", UNIFORM, "--record", str(alone), "--plan"]) == 2


def test_a_run_of_a_flip_that_says_something_else_is_found(project, forge):
    """Seen in a record: its explanation rested on a run that nobody had."""
    flip = give_explanation(project)
    folder = publish_explained(project).folder
    project.run(project.plan().cell(flip), 1, 3)
    shutil.copy(project.root / "results/runs" / flip / "seed-1/predictions.npz", folder / "runs" / flip / "seed-1")
    forge(folder)
    assert any(flip in str(difference) for difference in verify(folder).differences)


def test_an_effect_that_was_changed_by_hand_is_found(project, forge):
    give_explanation(project)
    folder = publish_explained(project).folder
    page = folder / f"{EXPLAINED}.md"
    assert "+20.00" in page.read_text()
    page.write_text(page.read_text().replace("+20.00", "+90.00"))
    forge(folder)
    assert any(EXPLAINED in str(difference) for difference in verify(folder).differences)


def test_a_record_with_more_seeds_has_the_explanation_of_its_own_mean(project, derive):
    """Seen in a record: three seeds in the table, and an explanation of the one that was there first."""
    cell, flip = project.cell("uniform"), give_explanation(project)
    publish_explained(project)
    project.benchmark(seeds=[0, 1, 2])
    for one in project.plan().cells:
        project.run(one, 2, 19)
    shutil.rmtree(project.root / "results/explain")
    shutil.rmtree(project.root / "results/runs" / flip)
    derive(project)
    folder = publish_explained(project, extend=True).folder
    found = json.loads((folder / f"{EXPLAINED}.json").read_text())
    values = read_published(folder).results.seeds(cell.name, "last", "joint", "accuracy", 100.0).finished
    assert (found["n"], found["mean"]) == (3, pytest.approx(np.mean(list(values.values()))))
    (effect,) = [effect for effect in found["effects"] if effect["cell"] == flip]
    assert (effect["n"], effect["effect"], effect["missing"]) == (2, pytest.approx(20.0), [2])
    assert verify(folder).exit_code == 0


def test_an_explanation_whose_runs_are_not_there_is_left_out_by_name(project):
    give_explanation(project)
    done = publish(project.root, "small")
    assert [UNIFORM in line for line in done.problems] == [True]
    assert not (done.folder / "explain").exists()


def test_runs_of_an_explanation_that_is_of_another_cell_by_now_are_not_published(project):
    flip = give_explanation(project)
    (path,) = (project.root / "results/explain/small").glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cell": project.cell("joint").name}))
    done = publish_explained(project)
    assert [UNIFORM in line for line in done.problems] == [True]
    assert not (done.folder / "explain").exists()
    assert not (done.folder / "runs" / flip).exists()


def test_a_record_judged_anew_has_its_explanation_made_anew(project):
    give_explanation(project)
    folder = publish_explained(project).folder
    before = texts(folder)
    assert judge_again(folder, project.root / "configs") == ()
    assert texts(folder) == before


def test_only_explanations_of_this_benchmark_are_published(project):
    give_explanation(project)
    (other,) = (project.root / "results/explain/small").glob("*.json")
    data = json.loads(other.read_text()) | {"benchmark": "other"}
    project.write("results/explain/other/x.json", json.dumps(data))
    assert len(list((publish_explained(project).folder / "explain").glob("*.json"))) == 1


def test_git_takes_the_whole_record(project, repository):
    (project.root / ".gitignore").write_bytes((repository / ".gitignore").read_bytes())
    git(project.root, "init", "-q")
    git(project.root, "add", "-A")
    held = set(git(project.root, "ls-files", "results").split())
    record = project.root / "results/published/small"
    assert held == {str(path.relative_to(project.root)) for path in record.rglob("*") if path.is_file()}


def test_the_commit_is_in_the_record(project, repository):
    git(project.root, "init", "-q")
    git(project.root, "add", "configs")
    git(project.root, "commit", "-qm", "Configurations")
    assert publish(project.root, "small")
    manifest = read_published(project.root / "results/published/small").manifest
    assert manifest.commit == git(project.root, "rev-parse", "HEAD").strip()
    assert manifest.changed is False


def test_an_unknown_record_is_named_with_the_nearest(project):
    with pytest.raises(UserError, match="did you mean 'small'"):
        find_record(project.root, "smal")


def test_a_table_of_ones_own_is_published_and_verified_without_any_papers_file(project, finish, derive):
    column = {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": "digits"}
    own = {"own": "methods", "rows": ["joint", "uniform", "mmpareto"], "columns": {"digits": column}}
    project.benchmark(name="mine", tables=[own])
    finish(project)
    results = derive(project, "mine")
    publish(project.root, "mine")
    folder = project.root / "results/published/mine"
    assert not (folder / "papers").exists()
    assert verify(folder).differences == []
    record = read_published(folder)
    assert judge(record.papers["own"], record.results).texts() == judge(project.plan().papers["own"], results).texts()
    text = (folder / "README.md").read_text()
    assert "nothing of a paper was compared" in text
    assert "Which numbers reproduce" not in text
    before = texts(folder)
    assert judge_again(folder, project.root / "configs") == ()
    assert texts(folder) == before
    pairs = folder / "comparison/own.pairs.csv"
    pairs.write_text(pairs.read_text().replace("undecided", "better"))
    assert any("own.pairs.csv" in found.file for found in verify(folder).differences)
