"""Puts what a project folder is made of into the wheel: configurations, the workflow, and what Git ignores."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS, FILES = ("configs", "workflow"), ("Snakefile", ".gitignore")


class BuildWithProject(build_py):
    """The usual build, and ``counterpoise/project/``. An editable installation finds the same in its checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        here, project = Path(__file__).parent, Path(self.build_lib) / "counterpoise/project"
        shutil.rmtree(project, ignore_errors=True)
        project.mkdir(parents=True)
        for name in FOLDERS:
            shutil.copytree(here / name, project / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        for name in FILES:
            shutil.copy(here / name, project / name)


setup(cmdclass={"build_py": BuildWithProject})
