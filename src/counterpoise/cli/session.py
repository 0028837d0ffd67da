"""What a workflow prints: one line when a job starts and one when it fails, and nothing of how jobs are chosen."""

from __future__ import annotations

import logging
import time

CHATTER = ("Select jobs to execute", "Execute ", "Assuming unrestricted", "Using shell")


class OneLine(logging.Formatter):
    """Formats the start and the failure of a job as one line, and everything else as ``default`` does."""

    def __init__(self, default: logging.Formatter) -> None:
        super().__init__()
        self.default = default

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of one of Snakemake's log records."""
        event = str(getattr(record, "event", "")).rpartition(".")[2].lower()
        clock = time.strftime("%H:%M:%S")
        message = getattr(record, "rule_msg", None)
        if event == "job_info" and message:
            return f"{clock}  {message}"
        if event == "job_error":
            logs = ", ".join(map(str, getattr(record, "log", None) or ()))
            return f"{clock}  failed: {message or record.rule_name}" + (f" (log: {logs})" if logs else "")
        return self.default.format(record)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Return whether a record is shown: not what the scheduler is about to do, nor the text of a failed command."""
    text = str(record.msg)
    return not text.startswith(CHATTER) and "CalledProcessError" not in text


def quieten(logger: logging.Logger) -> None:
    """Make the handlers of Snakemake's logger print one line per job. Its own log file keeps everything."""
    for handler in logger.handlers:
        if handler.formatter is not None and not isinstance(handler, logging.FileHandler):
            handler.setFormatter(OneLine(handler.formatter))
            handler.addFilter(is_worth_a_line)
