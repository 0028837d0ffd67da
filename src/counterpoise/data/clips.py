"""From lists of clips to arrays: decoded by many processes, appended in order, with nothing dropped in silence."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.data.media import MediaError
from counterpoise.data.store import CONTENT, GROUP, ArrayStore, group_numbers
from counterpoise.data.work import Work
from counterpoise.errors import UserError
from counterpoise.identity import digest

ROWS_PER_APPEND = 64
BYTES_PER_APPEND = 1 << 25
FAULTS = "faults"
"""Where a reader puts, beside its arrays, what is wrong with an item that can be used all the same (texts)."""

Layouts = Mapping[str, tuple[tuple[int, ...], np.dtype]]


@dataclasses.dataclass(frozen=True)
class Item:
    """One sample to make: its ``id``, its label(s) by target, its files, and what it must not share with other splits.

    ``group`` names the speaker, actor or recording that it belongs to. ``facts`` are for the dataset's own use.
    """

    id: str
    targets: Mapping[str, int]
    files: tuple[Path, ...] = ()
    group: str = ""
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoded:
    """What a worker sends back: arrays of one sample, or the ``reason`` why there are none.

    ``faults`` are what is wrong with a sample that is used all the same. ``content`` is the digest of its
    files, 0 where they cannot be read.
    """

    id: str
    arrays: dict[str, np.ndarray] | None
    reason: str = ""
    faults: tuple[str, ...] = ()
    content: int = 0

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return sum(array.nbytes for array in (self.arrays or {}).values())


@dataclasses.dataclass(frozen=True)
class Decoder:
    """A picklable call of ``function(item)`` that returns whatever goes wrong with the item as a reason.

    ``layouts`` are the shapes and types that the store expects, by name.
    """

    function: Callable[[Item], dict[str, Any]]
    layouts: Layouts

    def __call__(self, item: Item) -> Decoded:
        content = 0
        try:
            content = content_digest(item.files)
            arrays = dict(self.function(item))
            faults = tuple(arrays.pop(FAULTS, ()))
            self._check(arrays)
        except MediaError as error:
            reason = str(error)
        except OSError as error:
            reason = (
                "the file is missing"
                if isinstance(error, FileNotFoundError)
                else f"it cannot be read ({error.strerror or error})"
            )
        except MemoryError:
            reason = "decoding it takes too much memory"
        except Exception as error:
            # One odd file among thousands never ends a preparation, and decoders raise whatever they please. What is
            # wrong with all of them shows as well: more than max_dropped is an error that gives this reason.
            reason = f"it cannot be decoded ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        else:
            return Decoded(id=item.id, arrays=arrays, faults=faults, content=content)
        return Decoded(id=item.id, arrays=None, reason=reason, content=content)

    def _check(self, arrays: dict[str, np.ndarray]) -> None:
        for name, (shape, dtype) in self.layouts.items():
            array = np.asarray(arrays[name])
            if array.shape != shape or (array.dtype != dtype and not _both_integers(array.dtype, dtype)):
                raise MediaError(f"its {name} is {array.dtype} {array.shape}, expected {dtype} {shape}")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise MediaError(f"its {name} holds NaN or infinite values")


def _both_integers(one: np.dtype, other: np.dtype) -> bool:
    return one.kind in "iu" and other.kind in "iu" and one.itemsize <= other.itemsize


def content_digest(paths: Sequence[Path]) -> int:
    """Return eight bytes of the SHA-256 of the files' bytes, as a number of int64: the same clip under other
    names, or another clip under the same name, shows by it. Raises ``MediaError`` for a pipe or a device.
    """
    found = hashlib.sha256()
    for path in paths:
        if path.exists() and not path.is_file():
            # Opening it would wait for whoever writes to it.
            raise MediaError(f"{path.name} is not a regular file")
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return int(np.frombuffer(found.digest()[:8], dtype="<i8")[0])


def _nbytes(decoded: Decoded) -> int:
    return decoded.nbytes


def crashed(item: Item) -> Decoded:
    """Return what stands for an item on which the decoding process died."""
    reason = "decoding it ended the process (a fault in the codec, or too much memory)"
    try:
        content = content_digest(item.files)
    except (MediaError, OSError):
        content = 0
    return Decoded(id=item.id, arrays=None, reason=reason, content=content)


def prepare_items(
    store: ArrayStore,
    splits: Mapping[str, Sequence[Item]],
    function: Callable[[Item], dict[str, Any]],
    work: Work,
    *,
    max_dropped: float,
    how_to_get: str,
) -> None:
    """Decode the items of every split with ``function`` and append them to ``store``, in order.

    ``function`` is a picklable callable from an item to its modalities and extras. It raises ``MediaError``
    for an item that cannot be used; whatever else it raises, and the death of its process, counts as that,
    too. Such items are recorded with the reason. More than ``max_dropped`` of a split is an error that names
    them, and so is a class of which no item is left; ``how_to_get`` then says what to do. What an interrupted
    attempt had finished is not done again, unless the files have changed since.
    """
    decoded = {name: store.layout(name) for name in store.array_names()}
    decoded = {name: layout for name, layout in decoded.items() if not store.is_label(name)}
    store.extra(CONTENT)
    store.extra(GROUP)
    for split, items in splits.items():
        check_items(split, items)
        check_present(split, items, max_dropped, how_to_get)
    store.resume_from({split: digest([_state(item) for item in items]) for split, items in splits.items()})
    for split, items in splits.items():
        _prepare_split(store, split, items, Decoder(function, decoded), work, max_dropped, how_to_get)
        _check_classes(store, split, items, how_to_get)


def _state(item: Item) -> list[Any]:
    """Return what tells whether an item is still what it was: its label, and its files' sizes and times."""
    found: list[Any] = [item.id, dict(item.targets)]
    for path in item.files:
        if path.exists():
            status = path.stat()
            found.append([path.name, status.st_size, status.st_mtime_ns, status.st_ino])
    return found


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
                _fail(store, too_many(split, store.dropped_items(split), len(items), max_dropped, how_to_get))
        work.progress(split, done, len(items))


def _append(store: ArrayStore, split: str, results: Sequence[tuple[Item, Decoded]]) -> None:
    good = [(item, decoded) for item, decoded in results if decoded.arrays is not None]
    arrays: dict[str, np.ndarray] = {}
    for name in store.array_names():
        shape, dtype = store.layout(name)
        if name == CONTENT:
            rows: list[Any] = [np.int64(decoded.content) for _, decoded in good]
        elif name == GROUP:
            rows = list(group_numbers(item.group or item.id for item, _ in good))
        elif store.is_label(name):
            rows = [np.int64(item.targets[name]) for item, _ in good]
        else:
            rows = [decoded.arrays[name] for _, decoded in good]
        # The last items of a split may all be dropped: then there are no rows to stack.
        arrays[name] = np.stack(rows) if rows else np.empty((0, *shape), dtype)
    store.append(
        split,
        [item.id for item, _ in good],
        dropped=[(decoded.id, decoded.reason, decoded.content) for _, decoded in results if decoded.arrays is None],
        faults=[(decoded.id, fault) for _, decoded in good for fault in decoded.faults],
        **arrays,
    )


def _fail(store: ArrayStore, error: UserError) -> None:
    # Once the files are mended, everything is decided anew.
    store.start_over()
    raise error


def _check_classes(store: ArrayStore, split: str, items: Sequence[Item], how_to_get: str) -> None:
    """Raise ``UserError`` where a class that a split's list names has no item left, whatever may be dropped."""
    left = {item.id for item in items} - {name for name, _ in store.dropped_items(split)}
    if not left:
        _fail(store, UserError(f"{split}: none of its {len(items)} items can be used. {how_to_get}"))
    for target in items[0].targets:
        listed = Counter(item.targets[target] for item in items)
        kept = {item.targets[target] for item in items if item.id in left}
        gone = sorted(set(listed) - kept)
        if gone:
            names = ", ".join(f"{store.class_name(target, label)} ({listed[label]})" for label in gone[:5])
            more = " ..." if len(gone) > 5 else ""
            why = Counter(
                reason for name, reason in store.dropped_items(split) if name in _ids(items, target, set(gone))
            ).most_common(1)[0][0]
            text = f"{split}: no item is left of {len(gone)} classes of {target}: {names}{more}; {why}. {how_to_get}"
            _fail(store, UserError(text))


def _ids(items: Sequence[Item], target: str, labels: set[int]) -> set[str]:
    return {item.id for item in items if item.targets[target] in labels}


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


def note_converted(store: ArrayStore, splits: Mapping[str, Sequence[Item]], endings: Sequence[str]) -> None:
    """Record how many files have other ``endings`` than an item's files have as they are published: somebody has
    made them of those.
    """
    found = Counter(
        (path.suffix.lower(), ending)
        for items in splits.values()
        for item in items
        for path, ending in zip(item.files, endings, strict=False)
        if path.exists()
    )
    for (ending, published), count in sorted(found.items()):
        if ending != published:
            store.departure(f"{count} files are {ending}, converted from the published {published}")


def report_leaks(
    store: ArrayStore, splits: Mapping[str, Sequence[Item]], *, group: str, group_expected: bool = False
) -> None:
    """Record what each pair of splits shares: the same id, the same ``group`` (named so), the same file contents.

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
