"""A results table is read only if every line of it is of a listed run and says what it should."""

from __future__ import annotations

import pytest
from made_results import MadeResults

from counterpoise.errors import UserError
from counterpoise.results.table import VALUES, read_values, values_text


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """The lines of a sound results table."""
    made = MadeResults("mmpareto", {"table3": {"cg_mnist": "cg_mnist"}}, seeds=(0, 1))
    rows = [
        "cg_mnist,conv4,joint,published,p,0123456789ab,0,completed,last,19,joint,accuracy,0.5,20",
        "cg_mnist,conv4,joint,published,p,0123456789ab,1,missing,,,,,,",
    ]
    header = values_text(made.results.values).splitlines()[0]
    return [header, *rows]


def test_a_sound_table_is_read_back_the_same(lines, tmp_path):
    (tmp_path / VALUES).write_text("\n".join(lines) + "\n")
    assert values_text(read_values(tmp_path / VALUES)).splitlines() == lines


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.5,20", "nan,20", "2: 'value' is 'nan', must be a finite number"),
        ("0.5,20", "1e999,20", "2: 'value' is '1e999', must be a finite number"),
        ("0.5,20", "0.5,2.5", "2: 'n_test' is '2.5', must be a whole number"),
        (",0,completed", ",-1,completed", "2: 'seed' is '-1', must be a whole number"),
        (",0,completed", f",{2**64},completed", "2: 'seed' is .*, must be a whole number"),
        ("last,19", ",19", "2: has a value, but 'selection' is empty"),
        (",joint,published", ",,published", "2: has a value, but 'method' is empty"),
        ("joint,accuracy", "joint,\x1b[2J", "2: 'metric' is '.x1b.2J', no such name"),
        (",value,", ",values,", "has no column 'value'"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(lines, tmp_path, old, new, said):
    text = "\n".join(lines) + "\n"
    assert old in text
    (tmp_path / VALUES).write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=said):
        read_values(tmp_path / VALUES)


def test_a_value_that_is_there_twice_is_refused(lines, tmp_path):
    (tmp_path / VALUES).write_text("\n".join([*lines, lines[1]]) + "\n")
    with pytest.raises(UserError, match="4: this value is there twice"):
        read_values(tmp_path / VALUES)
