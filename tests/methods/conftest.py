"""The second writing of every method, for the tests that compare with it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def literal() -> ModuleType:
    """The module ``literal.py`` beside this file."""
    file = Path(__file__).with_name("literal.py")
    specification = importlib.util.spec_from_file_location("literal", file)
    module = importlib.util.module_from_spec(specification)
    sys.modules["literal"] = module
    specification.loader.exec_module(module)
    return module
