"""Progress of what takes long."""

from __future__ import annotations

from counterpoise.data.progress import on_terminal


def test_a_name_in_brackets_is_shown_as_it_is(capsys):
    with on_terminal("files") as progress:
        progress("clips [cut] of [/data/x]", 1, 1)
    assert capsys.readouterr().err == "clips [cut] of [/data/x]: 1 of 1 files\n"
