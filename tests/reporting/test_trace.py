"""A number is traced to its runs from results alone, one's own or a published record's."""

from __future__ import annotations

import pytest
from reported import Reported

from counterpoise.reporting.trace import trace_lines
from counterpoise.results.names import find_values
from counterpoise.results.table import read_results, write_results


@pytest.fixture
def reported(tmp_path) -> Reported:
    made = Reported(tmp_path / "made")
    made.finish()
    return made


def trace(made: Reported, name: str = "made.table0.joint.d0_0.accuracy", results=None) -> str:
    results = results or made.results
    return "\n".join(
        line for value in find_values(results.layout, name) for line in trace_lines(results, made.paper, value)
    )


def test_a_number_leads_to_cell_configuration_source_and_data(reported):
    cell = reported.cells[0]
    text = trace(reported)
    assert text.startswith("made.table0.joint.d0_0.accuracy\n  number     ")
    for wanted in (cell.name, cell.source, cell.data, "made.csv sha256 " + "0" * 64, "selection last"):
        assert wanted in text


def test_every_run_has_value_epoch_log_machine_and_the_command_that_makes_it_again(reported):
    text = trace(reported)
    results = reported.results
    cell = reported.cells[0]
    for seed, value in results.seeds(cell.name, "last", "joint", "accuracy", 100.0).finished.items():
        assert f"  seed {seed}: {value:.6g} (epoch 4)" in text
        assert f"logs/train/{cell.name}/seed-{seed}.log" in text
        assert f"counterpoise redo {cell.name} --seed {seed}" in text
    assert "torch 2.11.0" in text
    assert text.count("    resumed  ") == 1


def test_a_run_without_a_value_says_why(reported):
    reported.fail(reported.cells[0], 1, "boom")
    assert "  seed 1: failed: boom" in trace(reported)


def test_what_does_not_run_says_why(make_study):
    study = make_study("table3", {"cg_mnist": "cg_mnist"})
    (value,) = find_values(study.results.layout, "mmpareto.table3.PCGrad.modelnet40.accuracy")
    assert list(trace_lines(study.results, study.paper, value))[-1] == "  here       not run: not in this benchmark"


def test_a_stand_in_is_called_one(reported):
    assert "a stand-in, never compared with the paper" in trace(reported, "made.table0.joint.d0_1.accuracy")


def test_a_record_that_was_written_and_read_again_gives_the_same_trace(reported, tmp_path):
    write_results(reported.results, tmp_path / "record")
    assert trace(reported, results=read_results(tmp_path / "record")) == trace(reported)
