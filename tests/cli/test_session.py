"""What a workflow prints of its jobs."""

from __future__ import annotations

import logging
import signal
from pathlib import Path

import pytest

from counterpoise.cli.session import OneLine, last_line, quieten


def record(message: str = "", event: str | None = None, **fields) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": message, "event": event, **fields})
    return made


@pytest.fixture
def formatter() -> OneLine:
    return OneLine(logging.Formatter("default: %(message)s"))


def test_a_job_is_one_line_with_how_many_are_done(formatter):
    assert not formatter.is_shown(record(event="progress", done=3, total=7))
    started = record("files and files", "job_info", rule_msg="train a seed 1", rule_name="train")
    assert formatter.is_shown(started)
    assert formatter.format(started).endswith("3 of 7 done  train a seed 1")
    assert not formatter.is_shown(record("Finished jobid: 2", "job_finished"))


def test_jobs_that_only_ask_for_files_and_the_schedulers_plans_are_not_shown(formatter):
    assert not formatter.is_shown(record("", "job_info", rule_msg=None, rule_name="all"))
    assert not formatter.is_shown(record("Select jobs to execute..."))
    assert not formatter.is_shown(record("RuleException:\nCalledProcessError in file"))


def test_a_failure_names_its_log_and_says_its_last_line(formatter, tmp_path):
    log = tmp_path / "train.log"
    log.write_text("epoch 1\nTraceback\nValueError: a shape is wrong\n\n")
    failed = record("CalledProcessError", "job_error", rule_msg="train a seed 1", rule_name="train", log=[str(log)])
    assert formatter.is_shown(failed)
    first, second = formatter.format(failed).splitlines()
    assert f"failed: train a seed 1; log: {log}" in first
    assert second.strip() == "ValueError: a shape is wrong"


def test_everything_else_is_as_it_was(formatter):
    other = record("Building DAG of jobs...")
    assert formatter.is_shown(other)
    assert formatter.format(other) == "default: Building DAG of jobs..."


def test_a_log_that_is_not_there_or_empty_is_no_failure_of_its_own(tmp_path):
    assert last_line(tmp_path / "none") == "(no log)"
    (tmp_path / "empty").touch()
    assert last_line(tmp_path / "empty") == "(an empty log)"


def test_the_log_file_keeps_everything(tmp_path):
    logger = logging.Logger("made for this")
    shown, kept = logging.StreamHandler(), logging.FileHandler(Path(tmp_path, "all.log"))
    for handler in (shown, kept):
        handler.setFormatter(logging.Formatter())
        logger.addHandler(handler)
    quieten(logger)
    assert isinstance(shown.formatter, OneLine)
    assert not isinstance(kept.formatter, OneLine)
    assert kept.filters == []
    kept.close()


def test_an_interrupt_that_comes_while_a_line_is_written_is_not_lost():
    class Swallows(logging.StreamHandler):
        """Ignores an interrupt while it writes, as Snakemake's handler does."""

        def emit(self, record):
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                return
            written.append(record.msg)

    written = []
    logger = logging.Logger("made for this")
    logger.addHandler(Swallows())
    logger.handlers[0].setFormatter(logging.Formatter())
    logger.info("before")
    assert written == [], "swallowed: nothing is raised, and the line is lost, too"
    quieten(logger)
    with pytest.raises(KeyboardInterrupt):
        logger.info("a job starts")
    assert written == ["a job starts"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_ctrl_c_stops_is_not_said_to_have_failed(formatter):
    ended = record("", "job_error", rule_msg="train a seed 1", rule_name="train", log=[])
    assert "failed: train a seed 1" in formatter.format(ended)
    assert formatter.is_shown(record("Terminating processes on user request, this might take some time."))
    assert "stopped: train a seed 1" in formatter.format(ended)
