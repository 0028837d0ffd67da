"""Miniature media files in the true formats, written by the same codecs that wrote the real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import media_files
import pytest


@pytest.fixture(scope="session")
def clip() -> Callable[..., Path]:
    """The function that writes a miniature clip."""
    return media_files.write_clip


@pytest.fixture(scope="session")
def wav() -> Callable[..., Path]:
    """The function that writes a WAV file of 16-bit samples."""
    return media_files.write_wav


@pytest.fixture
def decode_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode media in this process. Others take seconds to start; what they do is tested with work, clips and GRID."""
    monkeypatch.setattr("counterpoise.data.prepare.available_cores", lambda: 0)


@pytest.fixture(scope="session")
def gray() -> Callable[[int], int]:
    """The gray level of a test clip's frame."""
    return media_files.level
