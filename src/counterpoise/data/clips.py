"""From lists of clips to arrays: decoded by many processes, appended in order, with nothing dropped in
silence.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.data.media import MediaError
from counterpoise.data.store import ArrayStore
from counterpoise.data.work import Work
from counterpoise.errors import UserError

ROWS_PER_APPEND = 64
BYTES_PER_APPEND = 1 << 25
CONTENT = "content"


@dataclasses.dataclass(frozen=True)
class Item:
    """One sample to make: its ``id``, its label(s) by target, its files, and what it must not share with
    other splits.

    ``group`` names the speaker, actor or recording that it belongs to. ``facts`` are for the dataset's own
    use.
    """

    id: str
    targets: Mapping[str, int]
    files: tuple[Path, ...] = ()
    group: str = ""
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Decoded:
    """What a worker sends back: arrays of one sample, or why there are none."""

    id: str
    arrays: dict[str, np.ndarray] | None
    reason: str = ""

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return sum(array.nbytes for array in (self.arrays or {}).values())


@dataclasses.dataclass(frozen=True)
class Decoder:
    """A picklable call of ``function(item)``, its media errors turned into reasons."""

    function: Callable[[Item], dict[str, np.ndarray]]

    def __call__(self, item: Item) -> Decoded:
        try:
            arrays = self.function(item)
            arrays[CONTENT] = content_digest(item.files)
        except MediaError as error:
            return Decoded(item.id, None, str(error))
        except OSError as error:
            return Decoded(item.id, None, f"it cannot be read ({error.strerror or error})")
        return Decoded(item.id, arrays)


def content_digest(paths: Sequence[Path]) -> np.ndarray:
    """Return eight bytes of the SHA-256 of the files' bytes as int64 (), to find the same clip under other
    names.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return np.frombuffer(digest.digest()[:8], dtype="<i8")[0]


def _nbytes(decoded: Decoded) -> int:
    return decoded.nbytes


def crashed(item: Item) -> Decoded:
    """Return what stands for an item on which the decoding process died."""
    return Decoded(item.id, None, "decoding it ended the process (a fault in the codec, or too much memory)")


def prepare_items(
    store: ArrayStore,
    splits: Mapping[str, Sequence[Item]],
    function: Callable[[Item], dict[str, np.ndarray]],
    work: Work,
    *,
    max_dropped: float,
    how_to_get: str,
) -> None:
    """Decode the items of every split with ``function`` and append them to ``store``, in order.

    ``function`` is a picklable callable from an item to its modalities and extras; it raises ``MediaError``
    for an item that cannot be used. Such items are recorded with the reason. More than ``max_dropped`` of a
    split is an error that names them; ``how_to_get`` then says what to do. What an interrupted attempt had
    finished is not done again.
    """
    store.extra(CONTENT)
    for split, items in splits.items():
        check_items(split, items)
        check_present(split, items, max_dropped, how_to_get)
    for split, items in splits.items():
        _prepare_split(store, split, items, Decoder(function), work, max_dropped, how_to_get)


def _prepare_split(
    store: ArrayStore,
    split: str,
    items: Sequence[Item],
    decoder: Decoder,
    work: Work,
    max_dropped: float,
    how_to_get: str,
) -> None:
    start = store.consumed(split)
    work.progress(split, start, len(items))
    waiting: list[tuple[Item, Decoded]] = []
    for done, decoded in enumerate(work.map(decoder, items[start:], crashed, _nbytes), start=start + 1):
        waiting.append((items[done - 1], decoded))
        size = sum(result.nbytes for _, result in waiting)
        if len(waiting) == ROWS_PER_APPEND or size >= BYTES_PER_APPEND or done == len(items):
            _append(store, split, waiting)
            waiting = []
            if store.dropped(split) > max_dropped * len(items):
                _fail(store, split, len(items), max_dropped, how_to_get)
        work.progress(split, done, len(items))


def _append(store: ArrayStore, split: str, results: Sequence[tuple[Item, Decoded]]) -> None:
    good = [(item, decoded.arrays) for item, decoded in results if decoded.arrays is not None]
    dropped = [(decoded.id, decoded.reason) for _, decoded in results if decoded.arrays is None]
    arrays: dict[str, np.ndarray] = {}
    for name in store.array_names():
        if good and name in good[0][0].targets:
            arrays[name] = np.array([item.targets[name] for item, _ in good], dtype=np.int64)
        else:
            shape, dtype = store.layout(name)
            rows = [made[name] for _, made in good]
            arrays[name] = np.stack(rows) if rows else np.empty((0, *shape), dtype)
    store.append(split, [item.id for item, _ in good], dropped=dropped, **arrays)


def _fail(store: ArrayStore, split: str, total: int, max_dropped: float, how_to_get: str) -> None:
    dropped = store.dropped_items(split)
    # Once the files are mended, everything is decided anew.
    store.start_over()
    raise too_many(split, dropped, total, max_dropped, how_to_get)


def too_many(
    split: str, dropped: Sequence[tuple[str, str]], total: int, max_dropped: float, how_to_get: str
) -> UserError:
    """Return the error for a split of which too much is unusable: how much, why, which, and what to do."""
    reasons = Counter(reason for _, reason in dropped).most_common(3)
    why = ", ".join(f"{reason}: {count}" for reason, count in reasons)
    names = ", ".join(name for name, _ in dropped[:5]) + (" ..." if len(dropped) > 5 else "")
    return UserError(
        f"{split}: {len(dropped)} of {total} items cannot be used, allowed are {max_dropped:.1%} "
        f"(setting max_dropped); {why}; {names}. {how_to_get}"
    )


def check_items(split: str, items: Sequence[Item]) -> None:
    """Raise ``UserError`` where a split is empty or lists an id twice."""
    if not items:
        raise UserError(f"{split}: its list names no items")
    twice = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if twice:
        raise UserError(f"{split}: its list names {len(twice)} ids twice: {', '.join(twice[:5])}")


def check_present(split: str, items: Sequence[Item], max_dropped: float, how_to_get: str) -> None:
    """Raise ``UserError`` before hours of decoding where too many files are not even there."""
    missing = [(item.id, "the file is missing") for item in items if not all(path.exists() for path in item.files)]
    if len(missing) > max_dropped * len(items):
        raise too_many(split, missing, len(items), max_dropped, how_to_get)


def report_leaks(
    store: ArrayStore, splits: Mapping[str, Sequence[Item]], *, group: str, group_expected: bool = False
) -> None:
    """Record what each pair of splits shares: the same id, the same ``group`` (named so), the same file
    contents.

    ``group_expected`` marks a protocol that lets groups overlap by design.
    """
    names = list(splits)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            pair = [one, other]
            same_id = {item.id for item in splits[one]} & {item.id for item in splits[other]}
            _record(store, "same id", pair, same_id)
            groups = [{item.group for item in splits[name]} - {""} for name in pair]
            _record(store, f"same {group}", pair, groups[0] & groups[1], expected=group_expected)
            contents = [_contents(store, name) for name in pair]
            same = set(contents[0]) & set(contents[1])
            _record(store, "same content", pair, {f"{contents[0][key]} = {contents[1][key]}" for key in same})


def _contents(store: ArrayStore, split: str) -> dict[int, str]:
    return dict(
        zip(store.read(split, CONTENT).tolist(), [name.decode() for name in store.read(split, "id")], strict=True)
    )


def _record(store: ArrayStore, kind: str, pair: list[str], shared: Iterable[str], **facts: Any) -> None:
    found = sorted(shared)
    if found:
        store.leak(kind, splits=pair, count=len(found), examples=found[:10], **facts)
