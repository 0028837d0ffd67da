"""Permissions of files bind root, too, in a test that is about them."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

VERSION = 0x20080522  # of the kernel's structures (linux/capability.h)
MAY_PASS_OVER = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Rights(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextlib.contextmanager
def bound_by_permissions() -> Iterator[None]:
    """Take from this thread, while the block runs, root's right to write and read whatever its permissions are."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, rights = _Header(VERSION, 0), (_Rights * 2)()

    def call(function: ctypes._CFuncPtr) -> None:
        if function(ctypes.byref(header), rights) != 0:
            raise OSError(ctypes.get_errno(), "the kernel does not say or change what this thread may do")

    call(libc.capget)
    before = rights[0].effective
    rights[0].effective = before & ~MAY_PASS_OVER
    call(libc.capset)
    try:
        yield
    finally:
        rights[0].effective = before
        call(libc.capset)
