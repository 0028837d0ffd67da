"""The terminal shows every verdict with its symbol and its reason, and says what the exit code means."""

from __future__ import annotations

import io

from rich.console import Console

from counterpoise.judging.claims import Answer
from counterpoise.judging.verdicts import Verdict
from counterpoise.reporting.terminal import print_comparison
from counterpoise.reporting.words import SYMBOLS


def printed(comparison, colour: bool = False) -> str:
    buffer = io.StringIO()
    system = "standard" if colour else None
    console = Console(file=buffer, width=250, force_terminal=colour, color_system=system, highlight=False)
    print_comparison(comparison, console)
    return buffer.getvalue()


def test_numbers_that_ran_are_listed_and_the_others_counted(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    study.runs("pcgrad", [0.60, 0.61, 0.605])
    text = printed(study.compare())
    assert "✗ deviates" in text
    assert "-18.85" in text
    assert "GradNorm" not in text
    assert "· not run" in text
    assert "exit code 3" in text


def test_stand_ins_are_called_so(make_study):
    study = make_study("table3", {"cg_mnist": "cg_digits"})
    for cell in study.plan.cells:
        for seed in study.plan.seeds:
            study.run(cell, seed, {"joint": 0.7 + 0.01 * seed + 0.001 * len(cell.method) * seed})
    text = printed(study.compare())
    assert "○ stand-in" in text
    assert "on the stand-in" in text
    assert "exit code 0" in text


def test_verdicts_are_in_colour_where_there_is_colour(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    study.runs("pcgrad", [0.60, 0.61, 0.605])
    assert "\x1b[31m" in printed(study.compare(), colour=True)
    assert "\x1b[" not in printed(study.compare())


def test_every_verdict_and_answer_has_a_symbol():
    assert {*map(str, Verdict), *map(str, Answer)} <= set(SYMBOLS)
