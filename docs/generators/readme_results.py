"""Fill the table of results in README.md: ``python docs/generators/readme_results.py README.md``.

It says what the published records say, in the words of their summaries, and names papers that no record is about.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from counterpoise import files
from counterpoise.errors import UserError
from counterpoise.papers.head import OWN
from counterpoise.papers.paper import load_paper, paper_names
from counterpoise.papers.tables import table_name

START, END = "<!-- results -->", "<!-- end of results -->"


def table(root: Path) -> str:
    """Return the table, and the picture of the first table that a record has."""
    rows, seen, picture = [], set(), ""
    for path in sorted((root / "results/published").glob("*/summary.json")):
        folder = path.parent.relative_to(root)
        summary = files.read_json(path, "summary of results")
        for paper, found in summary["papers"].items():
            title = "Own tables" if paper == OWN else load_paper(path.parent, paper).short_title
            answer = re.sub(r"(?<=\.) [\d,]+ (was|were) not run\.", "", found["answer"].removeprefix(f"{title}: "))
            finished, planned = summary["runs"]["finished"], summary["runs"]["planned"]
            what = summary["title"] + (f"; {finished} of {planned} runs" if finished < planned else "")
            rows.append(f"| [{path.parent.name}]({folder}/README.md) | {what} | {answer} |")
            seen.add(paper)
            pictures = sorted((path.parent / "tables" / paper).glob("*.png"))
            if pictures and not picture:
                shows = f"{title}, {table_name(pictures[0].stem)}: every seed, our means, and what is printed"
                picture = f"\n\n![{shows}]({pictures[0].relative_to(root)})"
    for name in paper_names(root / "configs"):
        paper = load_paper(root / "configs", name)
        if all(found.unprinted for found in paper.tables.values()):
            rows.append(f"| | {paper.short_title} | prints bars, no numbers: only its claims can be tested |")
        elif name not in seen:
            rows.append(f"| | {paper.short_title} | no record is published: nothing has been compared |")
    return "\n".join(["| record | what ran | what came out |", "|---|---|---|", *rows]) + picture


def filled(text: str, root: Path) -> str:
    """Return the README with its table as the records are now."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise UserError(f"README.md: must have the lines '{START}' and '{END}'")
    return f"{before}{START}\n{table(root)}\n{END}{after}"


if __name__ == "__main__":
    readme = Path(sys.argv[1])
    files.write_text(readme, filled(readme.read_text(encoding="utf-8"), readme.resolve().parent))
