"""The source text that the modules of this process were compiled from.

A run's key names the source as it was when the run was planned. Python imports a module later, when it is first
needed, and somebody may have edited the file in between. So the modules whose source enters keys are compiled from
their text, and the text is kept: it can be compared with what the key says before anything is recorded
(:func:`counterpoise.identity.check_loaded`). Bytecode on the disk is not used for them: it names the text that it
was made of by its size and the second of its last change only.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

# Those whose modules enter keys; all others load from bytecode as usual, which is faster.
PACKAGES = {f"counterpoise.{name}" for name in ("data", "engine", "methods", "models")}


class _KeepingLoader(SourceFileLoader):
    """Compiles a module from its text and keeps the text."""

    text: bytes = b""

    def get_code(self, fullname: str) -> CodeType:
        self.text = self.get_data(self.path)
        return self.source_to_code(self.text, self.path)


class _Finder(MetaPathFinder):
    """Finds modules where Python does, and loads those below the kept packages with :class:`_KeepingLoader`."""

    def __init__(self) -> None:
        self.packages = set(PACKAGES)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not any(fullname == package or fullname.startswith(f"{package}.") for package in self.packages):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _KeepingLoader(spec.loader.name, spec.loader.path)
        return spec


def keep_source(package: str | None = None) -> None:
    """Keep the text of modules that are imported from now on; those of a third party's ``package`` too."""
    finder = next((found for found in sys.meta_path if isinstance(found, _Finder)), None)
    if finder is None:
        finder = _Finder()
        # Right before Python's own: whoever else has put a finder in front keeps the first word.
        sys.meta_path.insert(sys.meta_path.index(PathFinder), finder)
    if package is not None:
        finder.packages.add(package)


def loaded_text(module: str) -> bytes | None:
    """Return the text that an imported module was compiled from; None if it was imported before it was kept."""
    loader = getattr(sys.modules[module], "__loader__", None)
    return loader.text if isinstance(loader, _KeepingLoader) else None
