"""What came out is said in a sentence that claims no more than was compared."""

from __future__ import annotations

import pytest

from counterpoise.comparability import Difference
from counterpoise.judging.contrast import Gain
from counterpoise.judging.verdicts import Verdict
from counterpoise.reporting.outcome import (
    answer,
    claims_sentence,
    not_run,
    numbers_of,
    progress_of,
    sentence,
    table_headline,
    table_summary,
)


@pytest.fixture
def study(make_study):
    return make_study("table3", {"cg_mnist": "cg_mnist"})


def test_where_nothing_was_compared_nothing_is_said_to_reproduce(make_study):
    study = make_study("table3", {"cg_mnist": "cg_digits"})
    study.runs("pcgrad", [0.79, 0.80, 0.795])
    found = study.compare()
    assert answer(found) == "Not answered here: nothing was compared"
    assert numbers_of(found.rows).sentence().startswith("0 of ")
    assert "2 ran on stand-ins" in numbers_of(found.rows).sentence()


def test_one_seed_by_itself_reproduces_nothing_and_a_far_one_deviates(study):
    study.runs("pcgrad", [0.7935])
    numbers = numbers_of(study.compare().rows)
    assert numbers.count(Verdict.REPRODUCED) == numbers.count(Verdict.WITHIN) == 0
    study.runs("pcgrad", [0.30])
    assert numbers_of(study.compare().rows).count(Verdict.DEVIATES) == 2


def test_deviations_come_first(study):
    study.runs("pcgrad", [0.50, 0.51, 0.505])
    study.runs("gradnorm", [0.7616, 0.7617, 0.7615])
    assert answer(study.compare()) == "2 of 4 compared numbers deviate"


def test_where_nothing_deviates_the_number_of_comparisons_is_said(study):
    study.runs("gradnorm", [0.7616, 0.7617, 0.7615])
    found = study.compare()
    assert answer(found) == "Nothing deviates among 2 compared numbers"
    assert sentence(found).startswith("MMPareto: Nothing deviates among 2 compared numbers. 2 of ")


def test_what_deviates_one_by_one_is_never_said_to_agree(study):
    study.runs("gradnorm", [0.7616, 0.7617, 0.7615])
    study.runs("pcgrad", [0.62, 0.63])
    found = study.compare()
    singly = numbers_of(found.rows).count(Verdict.DEVIATES)
    after = sum(row.deviates for row in found.rows)
    assert singly > after == 0, (singly, after)
    assert answer(found).startswith(f"{singly} of 4 compared numbers deviate taken one by one, none after correction")


def test_gains_that_deviate_one_by_one_are_counted_beside_those_that_do_after_correction(study):
    study.runs("uniform", [0.78, 0.785])
    study.runs("pcgrad", [0.60, 0.62])
    found = study.compare()
    gains = [gain for gain in found.gains if gain.verdict is Gain.DEVIATES]
    assert gains
    assert all(gain.p_corrected > 0.05 for gain in gains), "what follows is about gains that correction takes away"
    text = table_summary(found, "table3")
    assert f", {len(gains)} {'deviates' if len(gains) == 1 else 'deviate'} taken one by one, none after" in text


def test_a_diverged_run_of_the_papers_number_counts_as_a_deviation(study):
    study.runs("pcgrad", [0.79, 0.80])
    study.diverge("pcgrad", 2)
    assert answer(study.compare()) == "2 of 2 compared numbers deviate"


def test_a_stand_in_that_diverged_says_nothing_about_the_paper(make_study):
    study = make_study("table3", {"cg_mnist": "cg_digits"})
    study.runs("pcgrad", [0.79, 0.80])
    study.diverge("pcgrad", 2)
    found = study.compare()
    assert answer(found) == "Not answered here: nothing was compared"
    assert "2 ran on stand-ins" in numbers_of(found.rows).sentence()


def test_entries_that_the_paper_leaves_open_are_no_numbers(make_study):
    study = make_study("table1", {"crema_d": "crema_d"})
    found = study.compare()
    open_ones = [row for row in found.rows if row.entry.printed.kind != "number"]
    assert open_ones
    assert numbers_of(found.rows).printed == len(found.rows) - len(open_ones)


def test_claims_are_counted_by_their_answers(study):
    text = claims_sentence(study.compare())
    assert text.startswith(f"{len(study.compare().claims)} claims: ")
    assert "not run" in text


def test_what_was_not_run_is_grouped_by_table_and_reason_largest_first(study):
    study.runs("pcgrad", [0.79, 0.80, 0.795])
    groups = not_run(study.compare())
    assert [len(group.rows) for group in groups] == sorted((len(group.rows) for group in groups), reverse=True)
    assert {(group.table, group.reason) for group in groups} >= {
        ("table1", "not in this benchmark"),
        ("table3", "not in this benchmark"),
        ("table3", "no seed has finished"),
    }


def test_progress_says_what_is_missing(study):
    study.runs("pcgrad", [0.79, 0.80])
    study.fail("pcgrad", 2, "boom", status="out_of_memory")
    study.fail("gradnorm", 2, "killed from outside", status="interrupted")
    progress = progress_of(study.results)
    assert progress.partial
    assert progress.sentence() == "Partial: 2 of 21 runs have finished (1 out of memory, 1 interrupted, 17 missing)."


def test_a_tables_headline_is_its_verdict_and_counts_in_a_line_or_two(study):
    study.runs("pcgrad", [0.79, 0.80, 0.795])
    study.runs("gradnorm", [0.7616, 0.7617, 0.7615])
    reason = "a reason that is told at length, and not in a tile"
    differs = tuple(Difference(aspect=aspect, level="other", reason=reason) for aspect in ("test set", "split"))
    assert table_headline(study.compare(), "table3").startswith("3 of 4 shown within the margin, ")
    values = tuple(value.model_copy(update={"differs": differs}) for value in study.layout.values)
    study.layout = study.layout.model_copy(update={"values": values})
    said = table_headline(study.compare(), "table3")
    assert said.startswith("Not comparable in level (test set, split). 3 of 4 shown within the margin, ")
    assert len(said) < 130
    assert reason in table_summary(study.compare(), "table3")


def test_a_table_without_runs_has_no_headline(study):
    assert table_headline(study.compare(), "table3") == ""


@pytest.mark.parametrize(("data", "rest"), [("crema_d_vavl_conformer", ""), ("miniature_clips", "1 ran on a stand-in")])
def test_of_a_paper_that_prints_bars_no_numbers_are_said_to_be_compared_or_missing(make_study, data, rest):
    study = make_study("figure5", {"crema_d_conformer_late": data}, paper="mlb")
    study.runs("joint", [0.79, 0.80, 0.795])
    said = numbers_of(study.compare().rows)
    assert said.printed == 0
    total = sum(n for verdict, n in said.counts.items() if verdict is not Verdict.NOT_DEFINED)
    assert said.sentence().startswith(f"The paper prints bars and no numbers: 1 of {total} values measured. {rest}")
    assert "compared" not in said.sentence()
