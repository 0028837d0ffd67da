"""What a workflow prints: one line when a job starts and one when it fails, and nothing of how jobs are chosen."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

CHATTER = (
    "Select jobs to execute",
    "Execute ",
    "Assuming unrestricted",
    "Using shell",
    "Removing temporary",
    "Rules claim",
)
LONGEST = 500
STOPPING = "Terminating processes on user request"
"""What Snakemake says on Ctrl-C: its jobs end without a result after it, and none of them failed by that."""
CALL = "CalledProcessError"
"""What Snakemake says of a failed command, its text included: the line of the failure names the log."""


class OneLine(logging.Formatter):
    """Formats the start and the failure of a job as one line, and everything else as ``default`` does."""

    def __init__(self, default: logging.Formatter) -> None:
        super().__init__()
        self.default = default
        self.done = ""
        self.stopping = False

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of one of Snakemake's log records."""
        event, message = event_of(record), getattr(record, "rule_msg", None)
        clock = time.strftime("%H:%M:%S")
        if event == "job_info" and message:
            return f"{clock}  {self.done}{message}"
        if event == "job_error":
            logs = [Path(log) for log in getattr(record, "log", None) or ()]
            what = f"{message or getattr(record, 'rule_name', 'a rule')}" + "".join(f"; log: {log}" for log in logs)
            word = "stopped" if self.stopping else "failed"
            return "\n".join([f"{clock}  {word}: {what}", *(f"          {last_line(log)}" for log in logs)])
        return self.default.format(record)

    def is_shown(self, record: logging.LogRecord) -> bool:
        """Return whether a record gets a line: not how many jobs are done, which the next job's line says, and not a
        job that does nothing but ask for files.
        """
        event, text = event_of(record), str(record.msg)
        if event == "progress":
            self.done = f"{getattr(record, 'done', '?')} of {getattr(record, 'total', '?')} done  "
        if text.startswith(STOPPING):
            self.stopping = True
        if event == "job_error":
            return True
        if event == "job_info":
            return bool(getattr(record, "rule_msg", None))
        return event not in ("progress", "job_finished") and not text.startswith(CHATTER) and CALL not in text


def last_line(log: Path) -> str:
    """Return the last line of a log that says something; what failed says there why."""
    try:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return "(no log)"
    return next((line for line in reversed(lines) if line), "(an empty log)")[:LONGEST]


def event_of(record: logging.LogRecord) -> str:
    """Return the kind of one of Snakemake's log records, in lower case; empty for a plain message."""
    event = getattr(record, "event", None)
    return str(getattr(event, "value", event) or "").lower()


def quieten(logger: logging.Logger) -> None:
    """Make the handlers of Snakemake's logger print one line per job. Its own log file keeps everything."""
    for handler in logger.handlers:
        if handler.formatter is not None and not isinstance(handler, logging.FileHandler):
            formatter = OneLine(handler.formatter)
            handler.setFormatter(formatter)
            handler.addFilter(formatter.is_shown)
            handler.emit = interrupted_afterwards(handler.emit)  # type: ignore[method-assign, assignment]


def interrupted_afterwards(emit: Callable[[logging.LogRecord], None]) -> Callable[[logging.LogRecord], None]:
    """Return ``emit`` for which Ctrl-C waits until a line is written.

    Snakemake's own ignores an interrupt that comes meanwhile: it would then go on with the next job.
    """

    def emit_whole(record: logging.LogRecord) -> None:
        if threading.current_thread() is not threading.main_thread():  # the only one that is interrupted
            emit(record)
            return
        came: list[int] = []
        before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
        try:
            emit(record)
        finally:
            signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)

    return emit_whole
