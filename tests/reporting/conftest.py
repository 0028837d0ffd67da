"""The made-up studies of the comparison's tests serve here too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# Test files are no package, so the sibling folder's fixtures are loaded by their place.
_PATH = Path(__file__).resolve().parents[1] / "judging" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("made_up_studies", _PATH)
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules["made_up_studies"] = _MODULE
_SPEC.loader.exec_module(_MODULE)

make_study = _MODULE.make_study
