"""Faults put into a worker from outside: Python runs ``sitecustomize`` of the first path entry that has one.

The package itself has no hook for this. Keys do not change, because they come from the package's files.
"""

from __future__ import annotations

from pathlib import Path

PROGRAM = '''
import os, sys

class Finder:
    """Patches the training loop when it is imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "counterpoise.engine.loop":
            return None
        sys.meta_path.remove(self)
        import importlib.util
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def patched(module):
            run(module)
            step = module.Trainer._train_step

            def failing(trainer, inputs, targets):
                if {condition}:
                    {action}
                return step(trainer, inputs, targets)

            module.Trainer._train_step = failing

        spec.loader.exec_module = patched
        return spec

sys.meta_path.insert(0, Finder())
'''


def sabotage(folder: Path, condition: str, action: str) -> Path:
    """Write what runs ``action`` before a training step where ``condition`` (of ``trainer``) holds.

    Returns the folder to put first on ``PYTHONPATH``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    program = PROGRAM.replace("{condition}", condition).replace("{action}", action)
    (folder / "sitecustomize.py").write_text(program)
    return folder
