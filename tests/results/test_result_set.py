"""A set of results is read from a folder, a record or a revision, or refused by file and line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from counterpoise.errors import UserError
from counterpoise.results.result_set import ResultSet, find_folder, load_result_set, parse

FILES = {
    "paper.csv": "paper,table,row,column,dataset,mean,std,n,verdict\npaper,table3,A,c,d,70.5,0.7,2,deviates\n",
    "paper.claims.csv": "paper,claim,row,verdict\npaper,x,A,supported\n",
    "paper.seeds.csv": "paper,table,row,column,dataset,better,stand_in,seed,status,value\n"
    "paper,table3,A,c,d,lower,no,0,completed,70\npaper,table3,A,c,d,lower,no,1,completed,71\n"
    "paper,table3,A,c,d,lower,no,2,diverged,\n",
}


def write(home: Path, value: str = "70") -> Path:
    (home / "comparison").mkdir(parents=True)
    for name, text in FILES.items():
        (home / "comparison" / name).write_text(text.replace("completed,70", f"completed,{value}"))
    (home / "layout.json").write_text("{}")
    return home


def first_value(found: ResultSet) -> float:
    (only,) = found.numbers.values()
    return only.seeds.finished[0]


def test_numbers_seeds_and_claims_are_read():
    found = parse("made", ["paper"], FILES.get, "here")
    (only,) = found.numbers.values()
    assert (only.better, only.seeds.finished, list(only.seeds.diverged)) == ("lower", {0: 70.0, 1: 71.0}, [2])
    assert found.claims == {("paper", "x", "A"): "supported"}


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("paper.csv", "verdict", "judgement", "here/paper.csv: has no column 'verdict'"),
        ("paper.csv", ",deviates", "", "here/paper.csv:2: has 8 fields, must have 9"),
        ("paper.csv", "deviates", "devi\x1b[2Jates", "here/paper.csv:2: has a control character"),
        ("paper.csv", "deviates", '"deviates', "here/paper.csv:2: not readable as CSV"),
        ("paper.seeds.csv", "completed,70", "completed,", "here/paper.seeds.csv:2: 'value' is ''"),
        ("paper.seeds.csv", "completed,70", "completed,nan", "here/paper.seeds.csv:2: 'value' is 'nan'"),
        ("paper.seeds.csv", "no,1", "no,1.5", "here/paper.seeds.csv:3: 'seed' is '1.5', must be a whole number"),
        ("paper.seeds.csv", "lower,no,0", "lower,maybe,0", "'stand_in' is 'maybe', must be yes or no"),
        ("paper.seeds.csv", "diverged", "lost", "here/paper.seeds.csv:4: 'status' is 'lost'"),
        ("paper.claims.csv", "claim,row", "claim,claim", "must begin with a line that names each column once"),
    ],
)
def test_a_broken_file_is_named_with_its_line(file, old, new, said):
    broken = {**FILES, file: FILES[file].replace(old, new)}
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        parse("made", ["paper"], broken.get, "here")


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project with a benchmark's results and two records, of which ``small`` is called like the benchmark."""
    write(tmp_path / "results/small", "1")
    write(tmp_path / "results/published/small", "2")
    write(tmp_path / "results/published/other", "3")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_name_is_a_record_before_it_is_a_benchmark(project):
    assert first_value(load_result_set("small", project)) == 2
    assert first_value(load_result_set("results/small", project)) == 1
    assert first_value(load_result_set("other", project)) == 3
    (project / "results/published/small").rename(project / "elsewhere")
    assert first_value(load_result_set("small", project)) == 1
    assert first_value(load_result_set(str(project / "elsewhere"), project)) == 2


def test_of_a_folder_with_several_sets_the_one_called_like_the_other_side_is_taken(project):
    write(project / "results/third", "4")
    assert first_value(load_result_set("results", project, like="results/published/small")) == 1
    assert first_value(load_result_set(str(project), project, like="v1.0:third")) == 4
    with pytest.raises(UserError, match=r"results: has several sets of results; say which: .*results/small, .*third"):
        load_result_set("results", project)


@pytest.mark.parametrize("name", ["../small", "..", "no-such", "small\0", "-small", "--all", "HEAD", ""])
def test_what_is_no_result_is_refused_in_one_line(project, name):
    with pytest.raises(UserError, match=r"neither a folder|no comparison with a paper|several sets") as refused:
        load_result_set(name, project / "elsewhere")
    assert "\n" not in str(refused.value)


def test_a_name_that_leads_out_of_the_records_is_no_record(project):
    assert find_folder("../../results/small", project) is None
    (project.parent / "outside").mkdir(exist_ok=True)
    assert find_folder("../../../outside", project) is None


def test_a_revision_is_read_though_its_files_are_gone(project):
    def git(*arguments: str) -> None:
        names = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")
        subprocess.run(["git", *names, *arguments], cwd=project, check=True, capture_output=True)

    git("init", "-q")
    git("add", "-f", "results/published")
    git("commit", "-qm", "Records")
    git("tag", "v1.0")
    git("rm", "-rqf", "results/published")
    git("commit", "-qm", "No records", "--allow-empty")
    assert first_value(load_result_set("v1.0:other", project)) == 3
    assert first_value(load_result_set("v1.0:results/published/other", project)) == 3
    assert first_value(load_result_set("v1.0", project, like="results/small")) == 2
    with pytest.raises(UserError, match=r"say which: v1.0:other, v1.0:small"):
        load_result_set("v1.0", project)
    with pytest.raises(UserError, match="did you mean 'small'"):
        load_result_set("v1.0:smal", project)
    with pytest.raises(UserError, match="Git has no comparison below results/"):
        load_result_set("HEAD", project)
