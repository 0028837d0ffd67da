"""Locks between processes: a locked file, free again when its process ends, however that ends.

The kernel drops the lock (``flock``) with the process. Over a network that needs the file server's help, and not every
one gives it: where there are no locks, that is said. And a lock of another host can outlive its process. So whoever
holds one touches the file now and then, and whoever waits gives up when that has stopped.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from counterpoise import files
from counterpoise.errors import UserError

POLL_SECONDS = 0.25
SIGN_SECONDS = 20.0
"""How often a holder touches its file."""
SILENT_SECONDS = 600.0
"""After how long without a touch a waiting process gives up."""

_HELD = {errno.EACCES, errno.EAGAIN}
# What file systems say that have no flock: NFS without a lock daemon, Lustre without the mount option, some FUSE ones.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


class Stopped(Exception):
    """The process was asked to stop while it waited for a lock."""


class Lock:
    """One lock file."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._descriptor: int | None = None
        self._done = threading.Event()

    def take(self) -> bool:
        """Take the lock if nobody has it; return whether that was so.

        Raises:
            UserError: the file system has no locks, or the file cannot be made.
        """
        while True:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise UserError(f"{self.path}: no lock can be made there: {files.no_folder(error)}") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                if error.errno in _HELD:
                    return False
                where = "this file system has no locks" if error.errno in _NO_LOCKS else "cannot be locked"
                raise UserError(
                    f"{self.path}: {where} ({error.strerror}); put the project's folder, or its part of it by a link, "
                    "on a local disk, or have it mounted with flock"
                ) from error
            # Its last holder may have deleted the file while this process opened it: then this lock guards nothing.
            if self._is_in_place(descriptor):
                self._descriptor = descriptor
                return True
            os.close(descriptor)

    def give_signs(self) -> None:
        """Touch the file every :data:`SIGN_SECONDS` until the lock is released."""
        self._done.clear()
        threading.Thread(target=self._touch, daemon=True).start()

    def release(self, *, delete: bool = False) -> None:
        """Give the lock back; with ``delete`` remove its file, too."""
        self._done.set()
        if self._descriptor is not None:
            if delete:
                self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _touch(self) -> None:
        while not self._done.wait(SIGN_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(self.path)


@contextlib.contextmanager
def locked(path: Path, waiting: str, stop: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Run a block while holding the lock file ``path``; if another process has it, say ``waiting`` and wait.

    Raises:
        Stopped: ``stop()`` said so while waiting.
        UserError: the file system has no locks, or the other process was silent for :data:`SILENT_SECONDS`.
    """
    lock = Lock(path)
    if not lock.take():
        print(f"{path}: {waiting}", file=sys.stderr)
        _wait(lock, stop)
    lock.give_signs()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Run a block in one process at a time for each ``path``, which it makes; the lock is a hidden file beside it."""
    path = Path(path)
    with locked(path.with_name(f".{path.name}.lock"), f"another process makes {path}; waiting for that one"):
        yield


def _wait(lock: Lock, stop: Callable[[], bool]) -> None:
    seen, since = None, time.monotonic()
    while not lock.take():
        if stop():
            raise Stopped
        time.sleep(POLL_SECONDS)
        # Touches are told from each other, not compared with this host's clock: another host's may differ.
        with contextlib.suppress(OSError):
            sign = os.stat(lock.path).st_mtime_ns
            if sign != seen:
                seen, since = sign, time.monotonic()
        if time.monotonic() - since > SILENT_SECONDS:
            raise UserError(
                f"{lock.path}: is locked by a process, perhaps on another host, that has given no sign of life for "
                f"{SILENT_SECONDS / 60:.0f} minutes; if it is gone, delete this file and run the same command again"
            )
