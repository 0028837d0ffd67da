"""What may explain a cell's numbers: every declared factor of it, flipped one at a time to each alternative."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from counterpoise.components import component
from counterpoise.planning.cells import Cell
from counterpoise.planning.factors import Change, Factor, before_and_after, differences
from counterpoise.planning.resolve import CellNames, Resolver


@dataclass(frozen=True, kw_only=True)
class Flip:
    """One factor of a cell changed to one alternative.

    ``cell`` is what then runs, None where nothing can, with the ``reason``. ``before`` and ``after`` name the
    two alternatives in words; ``differences`` lists all settings that differ as (key, before, after).
    """

    factor: str
    title: str
    before: str = ""
    after: str = ""
    source: str = ""
    cell: Cell | None = None
    reason: str = ""
    differences: tuple[tuple[str, Any, Any], ...] = ()


def flips_of(resolver: Resolver, cell: Cell) -> list[Flip]:
    """Return a cell's factors flipped, each to each of its alternatives.

    Raises:
        UserError: a factor names something that cannot be.
    """
    names = resolver.names[cell.name]
    return [
        _flip(resolver, names, cell, id, factor, change, where)
        for id, factor, where in _factors(resolver, names)
        for change in factor.changes
    ]


def _factors(resolver: Resolver, names: CellNames) -> Iterator[tuple[str, Factor, str]]:
    """Yield a cell's factors, each with its name and where it is declared: variants by the method, others
    in the files of the method, protocol, model and dataset.
    """
    info = component("method", names.method).info
    other = {"published": "released", "released": "published"}.get(names.variant)
    if other in info.variants:
        source = str(info.variants[other].get("source", ""))
        variant = Factor(title="variant", source=source, changes=[Change(variant=other)])
        yield "variant", variant, f"method '{names.method}'"
    files = {"methods": names.method, "protocols": names.protocol, "models": names.model, "datasets": names.dataset}
    for folder, name in files.items():
        for id, factor in resolver.configs.factors(folder, name).items():
            yield id, factor, f"{resolver.configs.path(folder, name)}: factors.{id}"


def _flip(
    resolver: Resolver, names: CellNames, cell: Cell, id: str, factor: Factor, change: Change, where: str
) -> Flip:
    if change.model is not None:
        resolver.check_exists("models", change.model, f"{where}.model")
    flipped, reason = resolver.resolve(names.changed(change, where), where)
    if flipped is None:
        return Flip(factor=id, title=factor.title, source=factor.source, reason=reason)
    changed = tuple(differences(cell.config, flipped.config))
    if change.variant:
        before, after = names.variant, change.variant
    elif change.model:
        before, after = names.model, change.model
    else:
        # Keys of parents and folds differ because of the change; they say nothing more about it.
        before, after = before_and_after([c for c in changed if c[0] != "folds" and not c[0].startswith("parents.")])
    return Flip(
        factor=id,
        title=factor.title,
        before=before,
        after=after,
        source=factor.source,
        cell=flipped if changed else None,
        reason="" if changed else "changes nothing here",
        differences=changed,
    )
