"""The verdicts' error rates and power, measured on thousands of simulated studies with known truth."""

from __future__ import annotations

import math
from pathlib import Path

import error_rates
import pytest
from error_rates import MARGIN, claim_rates, heavy, number_rates, shares

from counterpoise.errors import UserError

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "statistics.md"
STUDIES = 5000
# A rate of exactly 5 % comes out above 5 % in every second simulation: three standard errors are let pass.
LIMIT = 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("std", [0.3, 1.0, 2.0, 5.0])
def test_a_paper_run_of_our_own_distribution_deviates_in_at_most_5_percent(n, std):
    assert number_rates(n, std, 0.0, studies=STUDIES).deviates < LIMIT


def test_rounding_to_the_test_set_does_not_raise_the_error_rates():
    assert number_rates(5, 1.0, 0.0, draw=shares, studies=STUDIES).deviates < LIMIT
    assert number_rates(5, 1.0, MARGIN, one_run=False, draw=shares, studies=STUDIES).reproduced < LIMIT


def test_heavy_tails_raise_the_error_rate_by_little():
    assert number_rates(5, 2.0, 0.0, draw=heavy, studies=STUDIES).deviates < 0.08


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("std", [0.3, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("gap", [MARGIN, -MARGIN])
def test_a_gap_of_the_margin_is_called_reproduced_in_at_most_5_percent(n, std, gap):
    assert number_rates(n, std, gap, one_run=False, studies=STUDIES).reproduced < LIMIT


def test_a_gap_well_beyond_the_margin_is_hardly_ever_called_reproduced():
    assert number_rates(5, 1.0, 2 * MARGIN, one_run=False, studies=STUDIES).reproduced < 0.01


def test_true_agreement_and_true_gaps_are_found_more_often_with_more_seeds():
    agreement = [number_rates(n, 1.0, 0.0, one_run=False, studies=STUDIES).reproduced for n in (3, 5, 10)]
    gaps = [number_rates(n, 1.0, 5.0, studies=STUDIES).deviates for n in (3, 5, 10)]
    for power in (agreement, gaps):
        assert power == sorted(power)
        assert power[0] > 0.3
        assert power[-1] > 0.95


@pytest.mark.parametrize("draw", [error_rates.normal, heavy])
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_any_false_answer_in_a_family_of_equal_rows_stays_below_5_percent(n, draw):
    rates = claim_rates(n, 0.0, draw, studies=STUDIES)
    assert rates.false_support < LIMIT
    assert rates.false_refutation < LIMIT


@pytest.mark.parametrize("effect", [0.5, 2.0, 8.0])
def test_a_true_claim_in_the_family_does_not_let_false_ones_through(effect):
    assert claim_rates(5, effect, studies=STUDIES).false_support < LIMIT


def test_without_correction_the_family_would_exceed_5_percent():
    """The simulation is able to see what the correction is for."""
    values = error_rates._table(error_rates.np.random.default_rng(1), 5, 0.0, error_rates.normal, STUDIES)
    support, _ = error_rates.claim_p_values(values)
    assert (support < 0.05).any(0).mean() > 2 * 0.05


def test_claims_are_found_more_often_with_more_seeds():
    power = [claim_rates(n, 2.0, studies=STUDIES).power for n in (3, 5, 10)]
    assert power == sorted(power)
    assert power[-1] > 0.95


def test_the_document_shows_what_the_simulation_gives():
    text = DOCUMENT.read_text()
    block = text.partition(error_rates.BEGIN)[2].partition(error_rates.END)[0].strip()
    assert block == error_rates.as_markdown(), "run python docs/generators/error_rates.py docs/statistics.md"


def test_updating_keeps_the_rest_of_the_document(tmp_path, monkeypatch):
    monkeypatch.setattr(error_rates, "as_markdown", lambda: "tables")
    path = tmp_path / "statistics.md"
    path.write_text(f"before\n{error_rates.BEGIN}\nold\n{error_rates.END}\nafter\n")
    error_rates.update(path)
    assert path.read_text() == f"before\n{error_rates.BEGIN}\n\ntables\n\n{error_rates.END}\nafter\n"


def test_a_document_without_the_marks_is_refused(tmp_path):
    path = tmp_path / "statistics.md"
    path.write_text("no marks")
    with pytest.raises(UserError, match=r"statistics\.md"):
        error_rates.update(path)
