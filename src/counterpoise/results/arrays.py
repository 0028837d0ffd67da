"""Archives of arrays (``.npz``), read without trusting what they say of their sizes."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import UserError
from counterpoise.files import LARGEST, read_bytes

MOST_ARRAYS = 1_000_000
_KINDS = "biuf"  # booleans, integers, floats: never objects, which would have to be unpickled


def read_arrays(path: Path, what: str = "archive of arrays") -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file, by name.

    Raises:
        UserError: it is missing, is no such archive, has an array that is not of numbers, or is larger than
            :data:`counterpoise.files.LARGEST` bytes when unpacked.
    """
    return parse_arrays(read_bytes(path, what), path)


def parse_arrays(data: bytes, where: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays in the bytes of an ``.npz`` file; errors as of :func:`read_arrays`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            # zipfile never unpacks more of a member than this size says.
            if len(members) > MOST_ARRAYS or sum(member.file_size for member in members) > LARGEST:
                raise UserError(f"{where}: unpacks to more than {LARGEST:,} bytes")
            return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}
    except UserError:
        raise
    except Exception as error:
        # Whatever zipfile, zlib, the header's parser and numpy raise on damaged bytes: some twenty kinds of errors.
        raise UserError(f"{where}: not an archive of arrays of numbers: {' '.join(str(error).split())}") from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """Read one array after comparing its header with its size: a header may claim an array of any size."""
    with archive.open(member) as file:
        content = io.BytesIO(file.read())
    version = np.lib.format.read_magic(content)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, _, dtype = read_header(content)
    if dtype.kind not in _KINDS:
        raise ValueError(f"'{member.filename}' has values of type {dtype}")
    if math.prod(shape) * dtype.itemsize != len(content.getbuffer()) - content.tell():
        raise ValueError(f"'{member.filename}' is not of the size that its header says")
    content.seek(0)
    return np.lib.format.read_array(content, allow_pickle=False)


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a compressed ``.npz`` archive with the same bytes each time: no clock in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue())
    return buffer.getvalue()
