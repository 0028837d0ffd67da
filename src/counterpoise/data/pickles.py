"""Reading pickles of arrays without running what is in them."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.errors import UserError

# The callables that NumPy's own pickles of arrays, scalars and types name, in the spellings of NumPy 1 and 2.
_ALLOWED = {
    (f"numpy{core}.multiarray", name) for core in (".core", "._core") for name in ("_reconstruct", "scalar")
} | {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
}

HDF5 = b"\x89HDF\r\n\x1a\n"


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which data has no need of")
        return super().find_class(module, name)


def load_pickle(path: Path, encoding: str = "latin1") -> Any:
    """Return the containers, numbers, texts and NumPy arrays of a pickle.

    ``encoding`` is for the byte strings of Python 2 pickles. A pickle that names any other class or function
    is refused before anything of it runs: ``UserError``.
    """
    path = Path(path)
    with _pickle_errors(path), path.open("rb") as file:
        if file.read(8) == HDF5:
            raise UserError(
                f"{path}: is HDF5 (a computational sequence of the CMU SDK), which is not read here; "
                "name a pickle of aligned features, such as mosi_data.pkl of the MulT package"
            )
        file.seek(0)
        return _Unpickler(file, encoding=encoding).load()


def load_object_array(path: Path) -> Any:
    """Return the one object that an ``.npy`` file of type object holds, read as :func:`load_pickle` reads pickles."""
    path = Path(path)
    with _pickle_errors(path), path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, dtype = reader(file)
        if dtype != np.dtype(object):
            raise ValueError(f"an array of {dtype}, not of objects")
        array = _Unpickler(file, encoding="latin1").load()
        return np.asarray(array, dtype=object).reshape(()).item()


@contextlib.contextmanager
def _pickle_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path}: is not there") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (MemoryError, OverflowError, RecursionError) as error:
        raise UserError(f"{path}: is not a pickle of arrays: it asks for too much") from error
    except (pickle.UnpicklingError, EOFError, LookupError, AttributeError, ImportError, ValueError, TypeError) as error:
        raise UserError(f"{path}: is not a pickle of arrays: {error}") from error
