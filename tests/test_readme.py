"""The README is short, and its table of results is what the published records say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from readme_results import END, START, filled, table

from counterpoise.errors import UserError


def test_it_is_short(repository):
    assert len((repository / "README.md").read_text(encoding="utf-8").split()) < 700


def test_its_results_are_those_of_the_records(repository):
    text = (repository / "README.md").read_text(encoding="utf-8")
    assert filled(text, repository) == text, "write it again: python docs/generators/readme_results.py README.md"


@pytest.fixture
def project(tmp_path, repository) -> Path:
    shutil.copytree(repository / "configs/papers", tmp_path / "configs/papers")
    return tmp_path


def test_papers_without_records_are_named(project):
    rows = table(project).splitlines()[2:]
    assert rows == [
        "| | MLB | prints bars, no numbers: only its claims can be tested |",
        "| | MMPareto | no record is published: nothing has been compared |",
    ]


@pytest.mark.parametrize(("finished", "title"), [(9, "Table 7"), (5, "Table 7; 5 of 9 runs")])
def test_a_record_says_its_answer_and_shows_its_first_picture(project, repository, finished, title):
    record = project / "results/published/mosi"
    shutil.copytree(repository / "configs/papers", record / "papers")
    answer = "MMPareto: Nothing deviates. 3 of 9 compared; 2 are odd and 4 were not run. 4 were not run. 1 claim."
    runs = {"planned": 9, "finished": finished}
    summary = {"title": "Table 7", "runs": runs, "papers": {"mmpareto": {"answer": answer}}}
    (record / "summary.json").write_text(json.dumps(summary))
    (record / "tables/mmpareto").mkdir(parents=True)
    (record / "tables/mmpareto/table7.png").touch()
    text = table(project)
    said = "Nothing deviates. 3 of 9 compared; 2 are odd and 4 were not run. 1 claim."
    assert f"| [mosi](results/published/mosi/README.md) | {title} | {said} |" in text
    assert "no record is published" not in text
    assert "![MMPareto, Table 7: every seed" in text
    assert text.endswith("(results/published/mosi/tables/mmpareto/table7.png)")


def test_a_readme_without_the_marks_is_refused(project):
    with pytest.raises(UserError, match="must have the lines"):
        filled(f"{START}\n", project)
    assert filled(f"a\n{START}\nold\n{END}\nb\n", project).endswith(f"{END}\nb\n")
