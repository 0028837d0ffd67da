"""The MNIST files: 60,000 and 10,000 handwritten digits of 28x28."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from counterpoise.data.sources import RawFiles, Source
from counterpoise.errors import UserError

LICENCE = "CC BY-SA 3.0 (LeCun, Cortes, Burges)"
ADDRESSES = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
# Five times the largest of the files, unpacked.
MAX_BYTES = 1 << 28
PREFIXES = {"train": "train", "test": "t10k"}
PUBLISHED = {
    "train-images-idx3-ubyte.gz": (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    "train-labels-idx1-ubyte.gz": (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    "t10k-images-idx3-ubyte.gz": (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    "t10k-labels-idx1-ubyte.gz": (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
}


def sources() -> list[Source]:
    """Return the four original files."""
    return [
        Source(
            path=name,
            urls=tuple(address + name for address in ADDRESSES),
            size=size,
            sha256=sha256,
            licence=LICENCE,
            manual="run: counterpoise data fetch cg_mnist",
        )
        for name, (size, sha256) in PUBLISHED.items()
    ]


def load(raw: RawFiles, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 (N, 28, 28) and labels int64 (N,) of the official ``train`` or ``test`` half."""
    prefix = PREFIXES[split]
    images = read_idx(raw / f"{prefix}-images-idx3-ubyte.gz", 3)
    labels = read_idx(raw / f"{prefix}-labels-idx1-ubyte.gz", 1).astype(np.int64)
    if len(images) != len(labels):
        raise UserError(f"{raw.home}: {len(images)} {split} images but {len(labels)} labels")
    if len(labels) == 0:
        raise UserError(f"{raw / f'{prefix}-labels-idx1-ubyte.gz'}: holds no digits")
    if labels.max() > 9:
        raise UserError(f"{raw / f'{prefix}-labels-idx1-ubyte.gz'}: label {labels.max()}; allowed: 0 to 9")
    return images, labels


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Return the unsigned bytes of a gzipped IDX file of so many ``dimensions``."""
    try:
        with gzip.open(path) as file:
            data = file.read(MAX_BYTES)
    except FileNotFoundError as error:
        raise UserError(f"{path}: is not there; run: counterpoise data fetch cg_mnist") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: is damaged or cut short ({error}); a whole copy of it is needed") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    shape = np.frombuffer(data, ">u4", count=dimensions, offset=4) if len(data) >= 4 + 4 * dimensions else ()
    start = 4 + 4 * dimensions
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) != start + int(np.prod(shape, dtype=np.int64)):
        raise UserError(f"{path}: is not an IDX file of {dimensions} dimensions")
    return np.frombuffer(data, np.uint8, offset=start).reshape(tuple(int(size) for size in shape))
