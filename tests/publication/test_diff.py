"""Where ``counterpoise diff A B`` finds its results: folders, published records and Git revisions."""

from __future__ import annotations

import subprocess

import pytest

from counterpoise.cli.app import main
from counterpoise.errors import UserError
from counterpoise.judging.compare import compare_paper
from counterpoise.judging.difference import Change, difference
from counterpoise.publication.publish import publish
from counterpoise.results.result_set import load_result_set


@pytest.fixture
def history(project, finish):
    """A project whose record ``small`` is committed as ``v1``, then published again from better runs."""
    root = project.root

    def git(*arguments: str) -> None:
        names = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")
        subprocess.run(["git", *names, *arguments], cwd=root, check=True, capture_output=True)

    git("init", "-q")
    git("add", "results/published")
    git("commit", "-qm", "The first record")
    git("tag", "v1")
    finish(project, 3)
    publish(project.plan(), root)
    return project, git


def test_a_record_is_compared_with_itself_at_an_older_revision(history):
    project, _ = history
    old, new = (load_result_set(name, project.root) for name in ("v1", "small"))
    found = difference(old, new)
    accuracy = [change for change in found.numbers if change.key[3] == "cg_mnist.accuracy"]
    # Three of twenty predictions more, in each of four rows and on both seeds.
    assert [change.difference for change in accuracy] == pytest.approx([15.0] * 4)
    assert {(change.pairs, change.change) for change in accuracy} == {(2, Change.UNDECIDED)}


def test_a_revision_is_read_though_its_files_are_gone_from_the_folder(history):
    project, git = history
    git("rm", "-rqf", "results/published")
    assert load_result_set("v1:small", project.root).numbers


def test_current_results_are_compared_with_a_record(history, monkeypatch):
    project, _ = history
    compare_paper(project.plan(), project.root, "mmpareto").write(project.root)
    monkeypatch.chdir(project.root)
    assert main(["diff", "small", "results", "--strict"]) == 0
    assert main(["diff", "v1", "results", "--strict"]) == 3


def test_of_several_records_at_a_revision_the_one_with_the_same_name_is_taken(history):
    project, git = history
    publish(project.plan(), project.root, "other")
    git("add", "results/published")
    git("commit", "-qm", "Two records")
    with pytest.raises(UserError, match=r"say which: HEAD:other, HEAD:small"):
        load_result_set("HEAD", project.root)
    assert load_result_set("HEAD", project.root, like="small").numbers
    assert load_result_set("HEAD:other", project.root).numbers
    assert load_result_set("HEAD:results/published/other", project.root).numbers
    with pytest.raises(UserError, match="did you mean 'small'"):
        load_result_set("HEAD:smal", project.root)


def test_what_is_no_result_is_named(history, tmp_path):
    project, _ = history
    (tmp_path / "empty").mkdir()
    for reference, said in (
        ("no-such", "neither a folder, nor a record in results/published, nor a Git revision"),
        (str(tmp_path / "empty"), "no comparison with a paper"),
    ):
        with pytest.raises(UserError, match=said):
            load_result_set(reference, project.root)


def test_a_revision_without_results_is_named(history):
    project, git = history
    git("rm", "-rqf", "results/published")
    git("commit", "-qm", "Nothing", "--allow-empty")
    with pytest.raises(UserError, match="no comparison below results/"):
        load_result_set("HEAD", project.root)


def test_one_argument_is_still_a_paper(project, capsys):
    options = ["--root", str(project.root), "--benchmark", "configs/benchmarks/small.yaml"]
    assert main(["diff", "mmpareto", *options]) == 0
    assert "MMPareto" in capsys.readouterr().out
    assert main(["diff", "mmpareto", "--strict", *options]) == 2


def test_all_three_levels_are_printed(history, capsys):
    project, _ = history
    main(["diff", "v1", "small", "--root", str(project.root)])
    said = capsys.readouterr().out
    for level in ("numbers:", "rankings:", "claims:", "exit code"):
        assert level in said
