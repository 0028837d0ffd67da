"""The counts in the documentation are those of the lists and the data."""

import pytest

from counterpoise.data.counts import BEGIN, END, as_markdown, count_datasets, put_into


@pytest.mark.slow
def test_the_documented_counts_are_those_of_the_mirror(repository, shared):
    text = (repository / "docs/datasets.md").read_text(encoding="utf-8")
    table = as_markdown(count_datasets(repository, shared / "mirror"))
    again = "run: counterpoise data counts --mirror <mirror> --write docs/datasets.md"
    assert put_into(text, table) == text, again


def test_a_table_is_put_between_its_marks_and_nothing_else_changes():
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert put_into(text, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_the_digits_are_counted_without_a_mirror(repository, tmp_path):
    counts = [count for count in count_datasets(repository, tmp_path) if count.dataset == "cg_digits"]
    assert sum(count.samples for count in counts) == 1797
