"""The terminal says what was compared first, fits 80 columns without cutting a name, and is whole in a pipe."""

from __future__ import annotations

import io
import re
import sys
from typing import TextIO, cast

import pytest
from rich.console import Console

from counterpoise.comparability import OTHER_DRAW, Difference
from counterpoise.judging.claims import Answer
from counterpoise.judging.verdicts import Verdict
from counterpoise.reporting.folding import print_lines
from counterpoise.reporting.terminal import Trimmed, make_console, print_comparison
from counterpoise.reporting.words import SYMBOLS


def printed(comparison, width: int | None = None) -> str:
    buffer = io.StringIO()
    print_comparison(comparison, make_console(buffer, width))
    return buffer.getvalue()


@pytest.fixture
def study(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist", "modelnet40": "cg_digits"})
    for cell in study.cells:
        for seed in study.layout.seeds:
            study.run(cell, seed, {"joint": 0.7 + 0.01 * seed + 0.001 * len(cell.method) * seed})
    return study


def test_it_begins_with_how_many_numbers_were_compared(study):
    assert re.match(r"14 of \d+ numbers compared: ", printed(study.compare()))


def test_numbers_that_ran_are_listed_and_the_others_counted(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    study.runs("pcgrad", [0.60, 0.61, 0.605])
    text = printed(study.compare())
    assert "✗ deviates" in text
    assert "-18.85" in text
    assert "GradNorm" not in text
    assert "were not run" in text
    assert "exit code" in text


def test_stand_ins_are_called_so(study):
    text = printed(study.compare())
    assert "○ stand-in" in text
    assert "on the stand-in" in text


def test_a_reason_that_all_rows_of_a_column_share_is_given_once(study):
    assert printed(study.compare()).count("not the paper's data") == 2  # accuracy and macro-F1 of one group


def test_nothing_is_wider_than_eighty_columns_and_no_name_is_cut(study):
    text = printed(study.compare(), width=80)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "…" not in re.sub(r"\d … [+-]?\d", "", text)
    for row in study.paper.table("table3").row_ids:
        assert row in text


def test_in_a_pipe_no_line_is_folded(study):
    lines = printed(study.compare()).splitlines()
    claim = next(claim for claim in study.compare().claims if claim.verdict == "holds on the stand-in" or claim.n)
    assert any(claim.claim.quote in line for line in lines)


def test_verdicts_are_in_colour_on_a_terminal_alone_and_not_where_no_color_is_set(study, monkeypatch):
    def on_a_terminal() -> str:
        buffer = io.StringIO()
        console = Console(file=buffer, width=80, force_terminal=True, color_system="standard", highlight=False)
        print_comparison(study.compare(), console)
        return buffer.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[33m" in on_a_terminal()
    assert "\x1b[" not in printed(study.compare())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[33m" not in on_a_terminal()


def test_what_looks_like_markup_is_printed_as_it_is(study):
    study.fail("mmpareto", 0, "loss of [released] is [bold]nan[/]")
    assert "loss of [released] is [bold]nan[/]" in " ".join(printed(study.compare(), width=200).split())


def test_every_verdict_and_answer_has_a_symbol():
    assert {*map(str, Verdict), *map(str, Answer)} <= set(SYMBOLS)


def test_no_line_ends_in_blanks(study):
    for width in (None, 80):
        assert not [line for line in printed(study.compare(), width).splitlines() if line != line.rstrip()]
    buffer = io.StringIO()
    stream = cast(TextIO, Trimmed(buffer))
    Console(file=stream, width=80, force_terminal=True, color_system="standard").print("[red]ends  [/red]\nhere  ")
    assert re.sub(r"\x1b\[[0-9;]*m", "", buffer.getvalue()) == "ends\nhere\n"


def test_a_part_of_a_reason_that_most_rows_share_is_said_once(make_study):
    study = make_study("table5", {"multi_mnist": "multi_mnist"})
    draw = Difference(aspect="test set", level=OTHER_DRAW, reason="pairs; and noise are drawn here", source="a file")
    differing = [value.model_copy(update={"differs": (draw,)} if value.cell else {}) for value in study.layout.values]
    study.layout = study.layout.model_copy(update={"values": tuple(differing)})
    for place, cell in enumerate(study.cells):
        for seed in study.layout.seeds:
            study.run(cell, seed, dict.fromkeys(("left", "right"), 0.5 + 0.05 * place + 0.01 * seed))
    text = printed(study.compare())
    columns = [row.entry.column.id for row in study.compare().rows if row.number.n]
    assert len(columns) > 2 * len(set(columns))
    assert text.count("pairs; and noise are drawn here)") == len(set(columns))
    assert "    all: another draw (test set: pairs; and noise are drawn here" in text


def test_lines_fold_between_words_on_a_terminal_and_are_whole_in_a_pipe(capsys, monkeypatch):
    lines = [
        "short",
        "  MMPareto: " + "several words " * 12,
        "  data       " + "several words " * 12,
        "             " + "several words " * 12,
        "  log  a/path/that/is/" + "long" * 30,
        "    redo     counterpoise redo a/cell " + "--option value " * 12,
    ]
    print_lines(lines)
    assert capsys.readouterr().out.splitlines() == lines
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    print_lines(lines)
    out = capsys.readouterr().out.splitlines()
    assert [line for line in out if len(line) > 80] == ["       " + lines[4].split()[1], lines[5]]
    assert " ".join(" ".join(out).split()) == " ".join(" ".join(lines).split()), "nothing is lost"
    starts = {len(line) - len(line.lstrip()) for line in out if line.lstrip().startswith(("several", "words"))}
    assert starts == {4, 13}
