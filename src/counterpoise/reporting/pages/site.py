"""The report's pages and how they hang together: a folder of offline files beside the tables and figures.

Pages link to the tables, comparisons and figures of the derived folder that the report is in (``../tables/…``), so
the folder is opened, moved and published as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from jinja2 import TemplateError

from counterpoise.errors import UserError
from counterpoise.reporting.pages.content import ReportContent
from counterpoise.reporting.templating import environment
from counterpoise.reporting.words import CLAIM_MEANINGS, MEANINGS

STYLE, SCRIPT = "static/report.css", "static/report.js"
ODD_DATA = (UserError, TemplateError, ValueError, TypeError, KeyError, AttributeError)
"""What a page raises when a record, which may come from anywhere, has something else than a page expects."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page: its path without suffix, its title, and the entry of the navigation that it is under."""

    name: str
    title: str
    template: str
    section: str
    context: Mapping[str, Any] = field(default_factory=dict)


class Links:
    """Relative links from one page to others and to files of the derived folder."""

    def __init__(self, here: str) -> None:
        self.up = "../" * here.count("/")

    def __call__(self, page: str, state: str = "") -> str:
        """Return the link to a page; ``state`` sets its filters (``verdict=deviates``)."""
        return f"{self.up}{quote(page)}.html" + (f"#{quote(state, safe='=&')}" if state else "")

    def part(self, page: str, id: str) -> str:
        """Return the link to a part of a page."""
        return f"{self(page)}#{id}"

    def static(self, name: str) -> str:
        """Return the link to a file of the report itself."""
        return self.up + quote(name)

    def file(self, name: str) -> str:
        """Return the link to a file of the derived folder, by its path in there."""
        return f"{self.up}../{quote(name)}"


def navigation(content: ReportContent) -> list[tuple[str, str]]:
    """Return (page, title) of the pages that every other one leads to: figures only where there are any, and what is
    of papers alone only where a paper is compared.
    """
    of_paper = bool(content.of_papers)
    entries = [
        ("index", "Overview", True),
        ("tables", "Tables", True),
        ("numbers", "Numbers", of_paper),
        ("claims", "Claims", of_paper),
        ("cells", "Cells", True),
        ("audit", "Audit", of_paper),
        ("figures", "Figures", bool(content.figures)),
        ("environment", "Environment", True),
    ]
    return [(name, title) for name, title, there in entries if there]


def pages(content: ReportContent) -> Iterator[Page]:
    """Yield all pages, the start page first."""
    for name, title in navigation(content):
        yield Page(name=name, title=title, template=f"{name}.html.j2", section=name)
    for table in content.tables:
        yield Page(
            name=table.name,
            title=table.view.title,
            template="table_of_paper.html.j2",
            section="tables",
            context={"page": table},
        )
    for cell in content.cells:
        yield Page(name=cell.name, title=cell.title, template="cell.html.j2", section="cells", context={"page": cell})


def render(content: ReportContent) -> tuple[dict[str, bytes], list[str]]:
    """Return every file of the report by its path in it, and what is wrong with pages that could not be made.

    Such a page says so itself; the others are made all the same.
    """
    files = {STYLE: source("style.css").encode(), SCRIPT: source("report.js").encode()}
    problems = []
    for page in pages(content):
        try:
            text = _page(content, page)
        except ODD_DATA as error:
            problem = f"report/{page.name}.html: cannot be made: {type(error).__name__}: {error}"
            problems.append(problem)
            context = {"problem": problem}
            text = _page(
                content,
                Page(
                    name=page.name, title=page.title, template="problem.html.j2", section=page.section, context=context
                ),
            )
        files[f"{page.name}.html"] = text.encode()
    return files, problems


def source(name: str) -> str:
    """Return the text of a file beside the templates, as it is."""
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), name)[0]


def _page(content: ReportContent, page: Page) -> str:
    shared = {"report": content, "layout": content.layout, "to": Links(page.name), "title": page.title}
    body = environment().get_template(page.template)
    shell = environment().get_template("shell.html.j2")
    text = body.render(**shared, meanings=MEANINGS, claim_meanings=CLAIM_MEANINGS, **page.context)
    return shell.render(**shared, section=page.section, navigation=navigation(content), body=text)
