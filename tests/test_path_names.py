"""No name that a file may have can lead a path out of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise import path_names as names

HOSTILE = (
    *("", ".", "..", "...", "../x", "x/../y", "/x", "//x", "x/", "~", "~/x", "./x", "x/./y", "a..b", "-x", ".x"),
    *(
        "x\0y",
        "x\ny",
        "x\n",
        "\x1b[2J",
        "x y",
        "x;y",
        "$(x)",
        "`x`",
        "x|y",
        "C:\\x",
        "C:x",
        "\\\\host\\share",
        "x\\..\\y",
    ),
    *("con", "NUL", "com1.txt", "LPT9", "x.", "x:y", "é", "\u202ex", "x" * 1000, "%2e%2e", "x?", "x*", '"x"', "<x>"),
)
CHECKS = [names.is_safe, names.is_file_name, names.is_relative_path, names.is_cell_name]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("check", CHECKS)
def test_a_hostile_name_is_refused(check, name):
    assert not check(name)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_part_of_a_path_is_refused(name):
    assert not names.is_relative_path(f"runs/{name}/x")
    assert not names.is_cell_name(f"digits/{name}/x-published.0123456789ab")
    assert not names.is_cell_name(f"digits/lenet/{name}/x-published.0123456789ab")


def test_names_in_use_are_accepted():
    assert names.is_safe("crema_d_vavl-conformer+1")
    assert names.is_file_name("gradient_statistics.0123456789ab.csv.gz")
    assert names.is_relative_path("comparison/mmpareto.claims.csv")
    assert names.is_cell_name("cg_digits/cg_digits_conv4/mmpareto-released.0123456789ab")


@given(st.text(alphabet=st.sampled_from("ab.1-_+/\\:~ \n\0"), max_size=12))
def test_whatever_is_accepted_stays_below_its_folder(name):
    if names.is_relative_path(name):
        # Not resolved by asking the disk: no part may be one that means another folder.
        assert ".." not in Path(name).parts
        assert Path("/home/x", name).is_relative_to("/home/x")
        assert not Path(name).is_absolute()


def test_control_characters_are_seen_at_any_depth_and_written_out():
    assert names.control_character({"a": [{"b": "fine\n\tstill"}]}) is None
    assert names.control_character({"a": [{"b\x1b[2J": 1}]}) == "b\x1b[2J"
    assert names.control_character(["x", ("y", "\u202e")]) == "\u202e"
    assert names.printable("x\x1b[2J\ny") == "x\\x1b[2J\\ny"
