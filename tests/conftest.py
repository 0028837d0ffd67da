"""What every test may ask for, and the conditions that all of them run under."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from ordering import long_first

# Before anything imports torch: one thread, because results differ between thread counts.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["DVC_NO_ANALYTICS"] = "1"
os.environ["MPLBACKEND"] = "agg"

# No deadline: a busy machine is no bug. The same examples each time: a red test can be run again.
settings.register_profile("counterpoise", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("counterpoise")


@pytest.hookimpl(trylast=True)  # after deselection
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes run the tests, let each begin with long ones."""
    if hasattr(config, "workerinput"):
        items[:] = long_first(items, config.workerinput["workercount"])


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Begin each test as in a terminal: a script's background process ignores Ctrl-C, and a job leaves its handlers."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout, where ``Snakefile``, ``configs/`` and ``workflow/`` are."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared(repository: Path) -> Path:
    """The folder that holds the data mirror: ``$COUNTERPOISE_SHARED``, or ``shared`` beside the checkout."""
    folder = Path(os.environ.get("COUNTERPOISE_SHARED") or repository.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"no shared folder at {folder}; set COUNTERPOISE_SHARED to one that holds mirror/")
    return folder
