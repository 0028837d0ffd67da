"""The report's pages and how they hang together: as a folder of files, or all in a single one."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import mimetypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from counterpoise.reporting.pages.material import Material
from counterpoise.reporting.templating import environment
from counterpoise.reporting.words import CLAIM_MEANINGS, MEANINGS

NAVIGATION = (
    ("index", "Overview"),
    ("tables", "Tables"),
    ("numbers", "Numbers"),
    ("claims", "Claims"),
    ("cells", "Cells"),
    ("audit", "Audit"),
    ("figures", "Figures"),
    ("environment", "Environment"),
)
STYLE, SCRIPT = "static/report.css", "static/report.js"


@dataclass(frozen=True)
class Page:
    """One page: its path without suffix, its title, and the entry of the navigation that it is under."""

    name: str
    title: str
    template: str
    section: str
    context: Mapping[str, Any] = field(default_factory=dict)


class FolderLinks:
    """Relative links from one page of a folder to others and to files."""

    def __init__(self, here: str) -> None:
        self.up = "../" * here.count("/")

    def __call__(self, page: str, state: str = "") -> str:
        """Return the link to a page; ``state`` sets its filters."""
        return f"{self.up}{quote(page)}.html" + (f"#{quote(state, safe='=&')}" if state else "")

    def part(self, page: str, id: str) -> str:
        """Return the link to a part of a page."""
        return f"{self(page)}#{id}"

    def file(self, name: str) -> str:
        """Return the link to a file of the report."""
        return self.up + quote(name)


class SingleLinks:
    """Links within a single file; other files are inside of it."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def __call__(self, page: str, state: str = "") -> str:
        """Return the link to a page; ``state`` sets its filters."""
        return f"#/{quote(page)}" + (f"?{quote(state, safe='=&')}" if state else "")

    def part(self, page: str, id: str) -> str:
        """Return the link to a part of a page."""
        return self(page, f"part={id}")

    def file(self, name: str) -> str:
        """Return the file itself as a link."""
        kind = mimetypes.guess_type(name)[0] or "text/plain"
        return f"data:{kind};base64,{base64.b64encode(self.files[name]).decode()}"


def pages(material: Material) -> Iterable[Page]:
    """Yield all pages, the start page first."""
    for name, title in NAVIGATION:
        yield Page(name, title, f"{name}.html.j2", name)
    for table in material.tables:
        yield Page(table.name, table.view.title, "table_of_paper.html.j2", "tables", {"page": table})
    for cell in material.cells:
        yield Page(cell.name, cell.title, "cell.html.j2", "cells", {"page": cell})


def as_folder(material: Material) -> dict[str, bytes]:
    """Return every file of the report's folder by its path in it."""
    files = {STYLE: source("style.css").encode(), SCRIPT: source("report.js").encode(), **material.files}
    shell = environment().get_template("shell.html.j2")
    for page in pages(material):
        links = FolderLinks(page.name)
        text = shell.render(**_frame(material, page, links), body=_body(material, page, links))
        files[f"{page.name}.html"] = text.encode()
    return files


def as_single_file(material: Material) -> bytes:
    """Return the whole report as one HTML file; pages but the first are compressed in it."""
    links = SingleLinks(material.files)
    every = list(pages(material))
    stored = {page.name: _packed(material, page, links) for page in every}
    script = source("report.js")
    text = (
        environment()
        .get_template("single.html.j2")
        .render(
            **_frame(material, every[0], links),
            body=_body(material, every[0], links),
            style=source("style.css"),
            script=script,
            script_hash=_content_hash(script),
            stored=json.dumps(stored, sort_keys=True),
        )
    )
    return text.encode()


def source(name: str) -> str:
    """Return the text of a file beside the templates, as it is."""
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), name)[0]


def _packed(material: Material, page: Page, links: SingleLinks) -> dict[str, str]:
    body = gzip.compress(_body(material, page, links).encode(), mtime=0)
    return {"title": page.title, "section": page.section, "body": base64.b64encode(body).decode()}


def _content_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _frame(material: Material, page: Page, to: FolderLinks | SingleLinks) -> dict[str, Any]:
    return {"plan": material.plan, "title": page.title, "section": page.section, "navigation": NAVIGATION, "to": to}


def _body(material: Material, page: Page, to: FolderLinks | SingleLinks) -> str:
    template = environment().get_template(page.template)
    return template.render(
        report=material, plan=material.plan, to=to, meanings=MEANINGS, claim_meanings=CLAIM_MEANINGS, **page.context
    )
