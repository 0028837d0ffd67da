"""Every sentence that an experiment could bear out has a formal test, which the paper's own numbers bear out."""

from __future__ import annotations

import shutil
from itertools import groupby
from pathlib import Path

import pytest
import yaml

from counterpoise.errors import UserError
from counterpoise.papers.claims import ClaimTest
from counterpoise.papers.paper import Paper, load_paper

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CONTRADICTED_IN_PRINT = {"t1-crema-d-video-over-video-only"}

# What the papers say besides what their tables print, read line by line, and the claims that test it; where nothing
# can, what is left out with a reason.
SENTENCES = {
    "mmpareto": {
        "multimodal and unimodal gradients conflict": [
            "crema-d-gradient-conflict",
            "kinetics-sounds-gradient-conflict",
        ],
        "they do so early": ["crema-d-conflicts-early", "kinetics-sounds-conflicts-early"],
        "the multimodal gradient is smaller": ["crema-d-gradient-magnitude", "kinetics-sounds-gradient-magnitude"],
        "its covariance is smaller": ["crema-d-gradient-magnitude", "kinetics-sounds-gradient-magnitude"],
        "by more than 3 times": ["covariance-three-times", "covariance-often-three-times"],
        "both in every encoder": [
            "crema-d-hypothesis-1",
            "kinetics-sounds-hypothesis-1",
            "cg-mnist-hypothesis-1",
            "modelnet40-hypothesis-1",
        ],
        "conventional Pareto weighs it more": ["crema-d-remark-1", "kinetics-sounds-remark-1"],
        "the multimodal loss is easier": [
            "crema-d-multimodal-loss-easier",
            "kinetics-sounds-multimodal-loss-easier",
            "cg-mnist-multimodal-loss-easier",
            "modelnet40-multimodal-loss-easier",
        ],
        "its batches vary less": ["crema-d-losses-vary-less", "kinetics-sounds-losses-vary-less"],
        "conventional Pareto is worse in both coordinates of Figure 1c": ["f1c-conventional-pareto-worse"],
        "MMPareto is better in both": ["f1c-mmpareto-advanced"],
        "conventional Pareto is sharper": ["conventional-pareto-sharper"],
        "MMPareto is flattest": ["mmpareto-flattest"],
        "flatter means better": ["flatter-lower-error-mmpareto", "flatter-lower-error-uniform"],
        "loss and accuracy change more drastically": ["conventional-pareto-changes-more"],
        "integration takes little time": [
            "crema-d-time-cost",
            "kinetics-sounds-time-cost",
            "cg-mnist-time-cost",
            "modelnet40-time-cost",
        ],
        "a modest number of iterations": ["crema-d-modest-iterations", "kinetics-sounds-modest-iterations"],
        "training converges to Pareto stationarity": ["crema-d-remark-2", "kinetics-sounds-remark-2"],
        "unimodal losses help each modality": [
            "t1-crema-d-unimodal-losses-help-encoders",
            "t1-kinetics-sounds-unimodal-losses-help-encoders",
        ],
        "better than individually trained": ["t1-unimodal-over-individual", "t1-crema-d-video-over-video-only"],
        "rarely achieved before": [
            "t1-crema-d-audio-rarely-before",
            "t1-crema-d-video-rarely-before",
            "t1-kinetics-sounds-audio-rarely-before",
            "t1-kinetics-sounds-video-rarely-before",
        ],
        "assistance is innocent": ["t1-crema-d-innocent-assistance", "t1-kinetics-sounds-innocent-assistance"],
        "tasks differ in difficulty": ["t5-task-difficulty"],
        "most multi-task methods drop": ["t5-most-drop"],
        "Pareto helps typical tasks": ["t4-pareto-helps-typical-tasks", "cityscapes"],
        "lambda is 1 or more": ["lambda-above-1"],
        "noise is smaller between the bounds": ["noise-smaller-between-bounds"],
        "six types of modalities": ["six-modalities"],
    },
    "mlb": {
        "better than the state of the art with a range of fusions": [
            "f6-crema-d-resnet-outperforms",
            "f6-crema-d-conformer-outperforms",
        ],
        "1.9 to 12.4 %, ResNet": ["f3-crema-d-resnet-gain", "f3-crema-d-resnet-largest-gain"],
        "2.8 to 14.1 %, Conformer": ["f3-crema-d-conformer-gain", "f3-crema-d-conformer-largest-gain"],
        "2.7 to 7.7 %, AVE": ["f3-ave-gain", "f3-ave-largest-gain"],
        "up to 6.1 %, UCF101": ["f3-ucf101-largest-gain"],
        "unimodal losses suffice for encoders": [
            "multi-loss-suffices-audio",
            "multi-loss-suffices-video",
            "multi-loss-trains-encoders",
        ],
        "balancing adds in most instances": ["f3-balancing-adds"],
        "highest accuracy, lowest calibration error": ["f5-highest-accuracy", "f5-lowest-ece"],
        "Joint Training agrees with video, Conformer": ["f4-joint-conformer-video"],
        "Joint Training agrees with audio, ResNet": ["f4-joint-resnet-audio"],
        "MLB is better in all categories": ["f4-conformer-all-categories", "f4-resnet-all-categories"],
        "AGM is better in Both False": ["f4-agm-both-false"],
        "AGM is the best previous method": ["f3-agm-best-previous"],
        "the dominant modality converges first": ["conformer-video-converges-first", "resnet-audio-converges-first"],
        "and reduces its loss faster": ["conformer-video-reduces-loss-faster", "resnet-audio-reduces-loss-faster"],
        "balancing phases out": ["balancing-phases-out", "balancing-muted-at-the-end"],
        "learning is never halted": ["never-halts"],
        "PMR is unstable": ["pmr-unstable", "pmr-unstable-resnet"],
        "earlier methods are inconsistent": ["f3-methods-inconsistent"],
        "modalities compete": ["modality-competition"],
        "AGM costs more": ["agm-costs"],
        "audio weights do not help elsewhere": ["audio-weights-elsewhere"],
    },
}


@pytest.fixture
def configs(tmp_path):
    shutil.copytree(CONFIGS / "papers", tmp_path / "papers")
    return tmp_path


@pytest.fixture(scope="module", params=["mmpareto", "mlb"])
def paper(request) -> Paper:
    return load_paper(CONFIGS, request.param)


def test_each_sentence_of_the_papers_has_a_claim_or_a_reason(paper):
    named = {claim.id for claim in (*paper.claims, *paper.left_out)}
    for sentence, claims in SENTENCES[paper.paper].items():
        assert claims, sentence
        assert set(claims) <= named, sentence
    assert (len(SENTENCES["mmpareto"]), len(SENTENCES["mlb"])) == (28, 22)


def test_what_is_no_claim_has_its_reason(paper):
    for sentence in paper.left_out:
        assert len(sentence.reason.split()) > 5, sentence.id


def test_every_table_that_prints_no_number_and_was_made_for_claims_is_used_by_one(paper):
    used = {table for claim in paper.claims for table in claim.test.tables}
    assert {name for name, table in paper.tables.items() if table.unprinted} <= used


def test_printed_numbers_bear_out_the_papers_own_claims(paper):
    """A guard for the formal forms: a claim read off a table must hold of the numbers in it."""
    for claim in paper.claims:
        if any(paper.table(table).unprinted for table in claim.test.tables):
            continue
        assert holds_in_print(paper, claim.test) is (claim.id not in CONTRADICTED_IN_PRINT), claim.id


def holds_in_print(paper: Paper, test: ClaimTest) -> bool:
    found = []  # (column and row, rival, whether it shows)
    for name, column, other_column in test.places:
        table = paper.table(name)
        sign = 1 if table.column(column).better == "higher" else -1
        for row in test.rows:
            mine = table.value(row, column).value
            others = [rival for rival in table.row_ids if rival != row] if test.kind == "best_in_column" else [row]
            for rival in test.than or others:
                other = table.value(rival, other_column).value
                if other is not None:
                    gain = sign * (mine - other)
                    shows = {"worse": gain < -test.by, "not_worse": gain > -test.by}.get(test.kind, gain > test.by)
                    found.append(((column, row), rival, shows))
    shown = [shows for _, _, shows in found]
    by_rival = [
        any(shows for _, _, shows in group)
        for _, group in groupby(sorted(found, key=lambda each: each[1]), key=lambda each: each[1])
    ]
    match test.over:
        case "all":
            return bool(shown) and all(shown)
        case "any":
            return any(shown)
        case "most rows":
            return sum(by_rival) > len(by_rival) / 2
    raise AssertionError(f"{test.over}: of no printed table")


# -- what is refused -----------------------------------------------------------------------------------------


def refused(configs: Path, change, *words: str, claim: int = 0) -> None:
    path = configs / "papers/mmpareto/claims.yaml"
    data = yaml.safe_load(path.read_text())
    change(data["claims"][claim]["test"])
    path.write_text(yaml.safe_dump(data, allow_unicode=True))
    with pytest.raises(UserError) as caught:
        load_paper(configs, "mmpareto")
    for word in ("claims.yaml", *words):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_claim_about_an_unknown_row_or_column_names_the_nearest(configs):
    refused(configs, lambda test: test.update(row="MMPerato"), "t1-crema-d-best", "did you mean 'MMPareto'")


def test_a_claim_against_an_unknown_row_names_the_nearest(configs):
    refused(configs, lambda test: test.update(than=["Audio-onyl"]), "did you mean 'Audio-only'", claim=2)


def test_a_claim_against_an_unknown_column_names_the_nearest(configs):
    change = {"than_columns": ["crema_d.acuracy_audio"]}
    refused(configs, lambda test: test.update(change), "did you mean 'crema_d.accuracy_audio'", claim=2)


def test_a_claim_without_its_comparison_is_refused(configs):
    refused(configs, lambda test: test.pop("than"), "than", claim=2)


def test_columns_are_compared_one_with_one(configs):
    change = {"than_columns": ["crema_d.accuracy", "crema_d.accuracy_visual"]}
    refused(configs, lambda test: test.update(change), "as many columns", claim=2)


def test_a_claim_about_a_number_has_no_rivals(configs):
    refused(configs, lambda test: test.update(kind="above"), "'by', a number", claim=2)


def test_without_a_table_a_column_names_its_own(configs):
    refused(configs, lambda test: test.update(table="", columns=["accuracy"]), "<table>.<column>")


def test_two_claims_of_one_name_are_refused(configs):
    path = configs / "papers/mmpareto/claims.yaml"
    data = yaml.safe_load(path.read_text())
    data["left_out"].append({**data["left_out"][0], "id": data["claims"][0]["id"]})
    path.write_text(yaml.safe_dump(data, allow_unicode=True))
    with pytest.raises(UserError, match="'t1-crema-d-best' is given twice"):
        load_paper(configs, "mmpareto")


def test_a_claim_over_two_tables_passes_over_rows_that_one_of_them_lacks():
    mlb = load_paper(CONFIGS, "mlb")
    (gain,) = [claim.test for claim in mlb.claims if claim.id == "f3-crema-d-resnet-gain"]
    assert gain.tables == ["figure3", "figure6"]
    assert "OGM" in gain.than
    assert "OGM" not in mlb.table("figure6").row_ids
