"""The environment that all templates are rendered in: everything escaped, an unknown name is an error."""

from __future__ import annotations

import functools
import re
import shlex

from jinja2 import Environment, PackageLoader, StrictUndefined

from counterpoise.papers.tables import table_name
from counterpoise.reporting import words


@functools.cache
def environment() -> Environment:
    """Return the template environment; the templates are beside this module."""
    templates = Environment(
        loader=PackageLoader("counterpoise.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "marked": lambda verdict: words.marked(str(verdict)),
        "symbol": lambda verdict: words.SYMBOLS.get(str(verdict), ""),
        "slug": slug,
        "shell_word": shlex.quote,
        "counted": words.counted,
        "metric_name": words.metric_name,
        "table_name": table_name,
    }
    templates.globals |= {"number": words.number_text, "spread": words.spread_text, "interval": words.interval_text}
    return templates


def slug(text: object) -> str:
    """Return a text as a name for a class or an id: lower case, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-")
