"""The counts in the documentation are those of the lists and the data."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from counterpoise.data.prepare import make_dataset
from counterpoise.planning.configs import Configs

GENERATOR = Path(__file__).parents[2] / "docs/generators/dataset_counts.py"
_specification = importlib.util.spec_from_file_location("dataset_counts", GENERATOR)
counts = importlib.util.module_from_spec(_specification)
sys.modules["dataset_counts"] = counts
_specification.loader.exec_module(counts)

# Settings that say how a sample is presented, not which samples there are. What is not named here makes
# another row of the table.
PRESENTATION = {
    "noise",
    "noise_region",
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
    table = counts.as_markdown(counts.count_datasets(repository, shared / "mirror"))
    assert counts.put_into(text, table) == text, "run: python docs/generators/dataset_counts.py <mirror>"


def test_a_table_is_put_between_its_marks_and_nothing_else_changes():
    text = f"before\n{counts.BEGIN}\nold\n{counts.END}\nafter\n"
    assert counts.put_into(text, "new") == f"before\n{counts.BEGIN}\nnew\n{counts.END}\nafter\n"


def test_the_digits_are_counted_without_a_mirror(repository, tmp_path):
    found = [count for count in counts.count_datasets(repository, tmp_path) if count.dataset == "cg_digits"]
    assert sum(count.samples for count in found) == 8 * 1797, "each in eight colours"


def test_every_dataset_has_its_row_in_the_documentation(repository, tmp_path, monkeypatch):
    """With the data itself out of the way: what counts is which configurations a full mirror would count."""

    def stands_for(name, data, component, settings, raw, mirror):
        presented = PRESENTATION | SAME_LISTS.get(component, set())
        chosen = sorted((key, str(value)) for key, value in settings.items() if key not in presented)
        yield counts.Count(
            dataset=name, split=str(chosen), samples=1, classes=1, least=1, most=1, groups=None, how="listed"
        )

    configs = Configs(repository / "configs")
    names = [name for name in configs.names("datasets") if name not in NOT_COUNTED]
    for config in map(configs.dataset, names):
        (tmp_path / make_dataset(config.component, config.settings).folder).mkdir(exist_ok=True)
    monkeypatch.setattr(Configs, "names", lambda self, folder: names)
    monkeypatch.setattr(counts, "is_there", lambda source, raw: True)
    monkeypatch.setattr(counts, "_count", stands_for)
    table = (repository / "docs/datasets.md").read_text(encoding="utf-8").split(counts.BEGIN)[1].split(counts.END)[0]
    shown = set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE))
    assert shown == {count.dataset for count in counts.count_datasets(repository, tmp_path)}
