"""The papers that results are of."""

from __future__ import annotations

from pathlib import Path

from counterpoise.papers.head import OWN
from counterpoise.papers.own import own_paper
from counterpoise.papers.paper import Paper, load_paper
from counterpoise.results.layout import Layout


def papers_of(layout: Layout, configs: Path) -> dict[str, Paper]:
    """Return a layout's papers by name, read from ``<configs>/papers``; tables of one's own are in the layout itself.

    Raises:
        UserError: a paper is missing, or something in its files cannot be.
    """
    return {name: own_paper(layout.own) if name == OWN else load_paper(configs, name) for name in layout.papers}
