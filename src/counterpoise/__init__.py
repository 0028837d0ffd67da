"""Counterpoise: regenerate the tables of two papers on balanced multimodal learning and say what holds.

The public API, imported when it is first used: :func:`~counterpoise.api.plan`, :func:`~counterpoise.api.run`,
:func:`~counterpoise.api.load` and :func:`~counterpoise.api.judge` do what the commands do. None of them loads torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from counterpoise import loading

if TYPE_CHECKING:
    from counterpoise.api import judge, load, plan, run

__all__ = ["__version__", "judge", "load", "plan", "run"]

loading.keep_source()  # before anything else of the package is imported


def __getattr__(name: str) -> Any:
    # By name, not by an import statement: whatever imports this package must not import all that the API needs.
    import importlib

    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("counterpoise")
    if name in __all__:
        return getattr(importlib.import_module("counterpoise.api"), name)
    raise AttributeError(f"module 'counterpoise' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
