"""Work spread over processes, its results in order."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from counterpoise.data.progress import Progress, quiet

AHEAD = 4
BYTES_AHEAD = 1 << 28


@dataclasses.dataclass(frozen=True)
class Work:
    """How many processes to use, and where to show how far they are. 0: none but this one."""

    workers: int = 0
    progress: Progress = quiet

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        crashed: Callable[[Any], Any],
        nbytes: Callable[[Any], int] = lambda result: 0,
    ) -> Iterator[Any]:
        """Yield ``function(item)`` for each of ``items``, in their order, at most a few per process ahead.

        ``nbytes`` says how much memory a result takes: the larger results are, the fewer wait to be yielded,
        but at least one per process does.

        An item on which a process dies (a codec's fault, or killed for its memory) yields ``crashed(item)``;
        the others are not affected. That takes at least one process besides this one. An exception that
        ``function`` raises is raised here. Processes end with this one, however it ends.
        """
        if self.workers <= 0:
            yield from map(function, items)
        elif items:
            yield from _Pool(self.workers, function, items, crashed, nbytes).results()


def _home(function: Callable[[Any], Any]) -> str:
    """Return the module that a process needs to call ``function``: a function, a partial or an object."""
    return getattr(function, "func", function).__module__


class _Pool:
    """A process pool that survives the death of a process."""

    def __init__(
        self,
        workers: int,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        crashed: Callable[[Any], Any],
        nbytes: Callable[[Any], int],
    ) -> None:
        self._nbytes = nbytes
        self._ahead = workers
        self._workers = workers
        self._function = function
        self._items = items
        self._crashed = crashed
        self._executor = self._start(workers)

    def _start(self, workers: int) -> concurrent.futures.ProcessPoolExecutor:
        # Not fork: the parent may hold threads and locks of numerical libraries. What the server has imported
        # is shared by its processes: libraries take their memory once, however many processes there are.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([_home(self._function)])
        return concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)

    def results(self) -> Iterator[Any]:
        waiting: deque[tuple[Any, concurrent.futures.Future]] = deque()
        remaining = iter(self._items)
        try:
            while True:
                while len(waiting) < self._ahead and (item := next(remaining, _END)) is not _END:
                    waiting.append((item, self._submit(item)))
                if not waiting:
                    return
                item, future = waiting[0]
                try:
                    result = future.result()
                except BrokenProcessPool:
                    waiting = self._recover(waiting)
                    continue
                waiting.popleft()
                self._ahead = self._limit(result)
                yield result
        finally:
            self._executor.shutdown(cancel_futures=True)

    def _limit(self, result: Any) -> int:
        """Return how many results may be under way or waiting, if all are like this one."""
        fitting = BYTES_AHEAD // max(1, self._nbytes(result))
        return max(self._workers, min(AHEAD * self._workers, fitting))

    def _submit(self, item: Any) -> concurrent.futures.Future:
        try:
            return self._executor.submit(self._function, item)
        except BrokenProcessPool as error:
            future: concurrent.futures.Future = concurrent.futures.Future()
            future.set_exception(error)
            return future

    def _recover(
        self, waiting: deque[tuple[Any, concurrent.futures.Future]]
    ) -> deque[tuple[Any, concurrent.futures.Future]]:
        """Do again, each in a process of its own, what was under way when a process died."""
        self._executor.shutdown(cancel_futures=True)
        redone: deque[tuple[Any, concurrent.futures.Future]] = deque()
        for item, future in waiting:
            broken = future.cancelled() or (future.done() and isinstance(future.exception(), BrokenProcessPool))
            redone.append((item, self._alone(item) if broken else future))
        self._executor = self._start(self._workers)
        return redone

    def _alone(self, item: Any) -> concurrent.futures.Future:
        outcome: concurrent.futures.Future = concurrent.futures.Future()
        with self._start(1) as executor:
            try:
                outcome.set_result(executor.submit(self._function, item).result())
            except BrokenProcessPool:
                outcome.set_result(self._crashed(item))
        return outcome


_END = object()


def _begin() -> None:
    """Keep numerical libraries of a worker to one thread (the processes already use every core), and end with
    the process that started it: a worker waits for work on a pipe that stays open when its parent is killed.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def available_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))
