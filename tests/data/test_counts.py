"""The counts in the documentation are those of the lists and the data."""

import re

import pytest

from counterpoise.data import counts
from counterpoise.data.counts import BEGIN, END, Count, as_markdown, count_datasets, put_into
from counterpoise.data.prepare import make_dataset
from counterpoise.data.status import dataset_names
from counterpoise.planning.configs import Configs

# Settings that say how a sample is presented, not which samples there are. What is not named here makes
# another row of the table.
PRESENTATION = {
    "front_end",
    "audio_seconds",
    "audio_normalisation",
    "frames",
    "fps",
    "sampling",
    "frame_size",
    "window",
}
# ModelNet40's renders and meshes are of the same listed shapes.
SAME_LISTS = {"modelnet40": {"source"}}
# Neither has a list that says what a complete download gives: whoever has the data can count it.
NOT_COUNTED = {"nyuv2", "cmu_mosi_mult"}


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


def test_every_dataset_has_its_row_in_the_documentation(repository, tmp_path, monkeypatch):
    """With the data itself out of the way: what counts is which configurations a full mirror would count."""

    def stands_for(name, data, component, settings, raw, mirror):
        presented = PRESENTATION | SAME_LISTS.get(component, set())
        chosen = sorted((key, str(value)) for key, value in settings.items() if key not in presented)
        yield Count(name, str(chosen), 1, 1, 1, 1, None, "listed")

    names = [name for name in dataset_names(repository) if name not in NOT_COUNTED]
    configs = Configs(repository / "configs")
    for config in map(configs.dataset, names):
        (tmp_path / make_dataset(config.component, config.settings).folder).mkdir(exist_ok=True)
    monkeypatch.setattr(counts, "dataset_names", lambda root: names)
    monkeypatch.setattr(counts, "is_there", lambda source, raw: True)
    monkeypatch.setattr(counts, "_count", stands_for)
    table = (repository / "docs/datasets.md").read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    shown = set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE))
    assert shown == {count.dataset for count in count_datasets(repository, tmp_path)}
