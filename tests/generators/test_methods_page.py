"""The page about methods says what the methods declare."""

from __future__ import annotations

import subprocess
import sys

from methods_page import reference

from counterpoise.components import components

AGAIN = "python docs/generators/methods_page.py docs/methods.md"


def test_page_is_up_to_date(repository):
    page = (repository / "docs/methods.md").read_text(encoding="utf-8")
    assert page == reference(), f"write it again: {AGAIN}"


def test_every_variant_has_a_source():
    for name, found in components("method").items():
        if len(found.info.variants) > 1:
            for variant, part in found.info.variants.items():
                assert part.get("source"), f"{name}: {variant}"


def test_every_setting_is_explained():
    for name, found in components("method").items():
        for setting in found.settings.values():
            assert setting.bounds.doc, f"{name}: {setting.name}"


def test_every_method_names_its_paper_and_source():
    for name, found in components("method").items():
        assert found.info.paper, name
        assert found.info.source, name


def test_page_is_written_by_the_command_that_it_names(tmp_path, repository):
    page = tmp_path / "methods.md"
    command = [sys.executable, *AGAIN.split()[1:-1], str(page)]
    subprocess.run(command, check=True, cwd=repository)
    assert page.read_text(encoding="utf-8") == reference()
