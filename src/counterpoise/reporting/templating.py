"""The environment that all templates are rendered in: everything escaped, an unknown name is an error."""

from __future__ import annotations

import functools
import re
import shlex

from jinja2 import Environment, PackageLoader, StrictUndefined

from counterpoise.reporting.layout import TableColumn
from counterpoise.reporting.words import SYMBOLS, counted, marked, metric_name, table_name


@functools.cache
def environment() -> Environment:
    """Return the template environment; the templates are beside this module."""
    found = Environment(
        loader=PackageLoader("counterpoise.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["own_title"] = own_title
    found.filters["marked"] = lambda verdict: marked(str(verdict))
    found.filters["symbol"] = lambda verdict: SYMBOLS.get(str(verdict), "")
    found.filters["slug"] = slug
    found.filters["shell_word"] = shlex.quote
    found.filters["counted"] = counted
    found.filters["metric_name"] = metric_name
    found.filters["table_name"] = table_name
    return found


def own_title(column: TableColumn) -> str:
    """Return a column's title, with a note where the paper does not have the column."""
    return f"{column.title} (ours)" if column.ours_only else column.title


def slug(text: object) -> str:
    """Return a text as a name for a class or an id: lower case, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-")
