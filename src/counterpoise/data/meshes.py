"""Triangle meshes: reading OFF files and drawing them, shaded, without a graphics library."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from counterpoise.data.media import MediaError
from counterpoise.data.sources import impostor

# The camera looks down at the shape by this angle, as MVCNN's does.
ELEVATION = 30.0
MAX_FRAGMENTS = 1 << 22
# Some minutes. A million faces of a hundred pixels each have a tenth of it.
MAX_WORK = 1 << 30
MAX_ITEMS = 50_000_000
# Text takes some twenty times its size while it is read. ModelNet40's files have 0.8 MB on average.
MAX_BYTES = 1 << 28


# Vertices farther out are damage; the square of such numbers would be none any more.
MAX_EXTENT = 1e100
# Texture, colours and normals of vertices stand behind x, y and z.
HEAD = re.compile(r"(ST)?C?N?OFF", re.IGNORECASE)


def read_off(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices float64 (V, 3) and triangles int64 (F, 3) of an OFF file; polygons are cut into triangles.

    Many of ModelNet's files have their counts on the first line, right behind ``OFF``. What stands behind a vertex's
    or a face's own numbers on its line, such as a colour, is left out. Raises ``MediaError``.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MediaError(f"it has {path.stat().st_size} bytes")
        other = impostor(path)
        if other is not None:
            raise MediaError(f"it is {other}")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except FileNotFoundError as error:
        raise MediaError("the file is missing") from error
    if not text:
        raise MediaError("the file is empty")
    lines = [line for line in (line.partition("#")[0].strip() for line in text.splitlines()) if line]
    head = HEAD.match(lines[0]) if lines else None
    if head is None:
        raise MediaError("it is not an OFF file")
    try:
        count, polygons, numbers = _numbers([line for line in (lines[0][head.end() :], *lines[1:]) if line])
        vertices = numbers[: 3 * count].reshape(count, 3)
        corners = numbers[3 * count :]
        if not (np.abs(corners) < MAX_ITEMS).all() or (corners % 1 != 0).any():
            raise MediaError("a face is not of whole numbers")
        faces = _triangles(corners.astype(np.int64), polygons)
    except (ValueError, IndexError, OverflowError) as error:
        raise MediaError("it is damaged or cut short") from error
    if len(faces) == 0:
        raise MediaError("it has no face with three corners")
    if faces.min() < 0 or faces.max() >= count:
        raise MediaError("a face names a vertex that is not there")
    if not (np.abs(vertices) < MAX_EXTENT).all():
        raise MediaError("a vertex is not a number, or is infinitely far")
    if not _has_area(vertices, faces):
        raise MediaError("none of its faces has an area")
    return vertices, faces


def _numbers(lines: list[str]) -> tuple[int, int, np.ndarray]:
    """Return how many vertices and faces the ``lines`` behind the head claim, and the numbers of these."""
    words = " ".join(lines).split()
    count, polygons = int(float(words[0])), int(float(words[1]))
    if not (0 < count < MAX_ITEMS and 0 < polygons < MAX_ITEMS):
        raise MediaError(f"it claims {count} vertices and {polygons} faces")
    # With nothing but triangles and their corners, lines do not matter.
    if len(words) != 3 + 3 * count + 4 * polygons and len(lines) == 1 + count + polygons:
        rows = [line.split() for line in lines]
        # Some leave out the number of edges.
        wanted = [2] + [3] * count + [1 + max(0, int(float(row[0]))) for row in rows[1 + count :]]
        if any(len(row) < length for row, length in zip(rows, wanted, strict=True)):
            raise ValueError("a line is cut short")
        words = [word for row, length in zip(rows, wanted, strict=True) for word in row[:length]]
        return count, polygons, np.array(words[2:], dtype=np.float64)
    return count, polygons, np.array(words[3:], dtype=np.float64)


def _has_area(vertices: np.ndarray, faces: np.ndarray) -> bool:
    extent = np.ptp(vertices, axis=0).max()
    a, b, c = (vertices[faces[:, corner]] / (extent or 1.0) for corner in range(3))
    return bool(np.cross(b - a, c - a).any())


def _triangles(numbers: np.ndarray, polygons: int) -> np.ndarray:
    """Return the triangles of ``polygons`` faces given as corner count and corners one after another."""
    if len(numbers) == 4 * polygons and (numbers[::4] == 3).all():
        return numbers.reshape(polygons, 4)[:, 1:]
    triangles, place = [], 0
    for _ in range(polygons):
        if numbers[place] < 0:
            raise ValueError("a face of fewer than no corners")
        # A face of one or two corners, which some files have, is a point or a line: no triangle.
        corners = numbers[place + 1 : place + 1 + numbers[place]]
        if len(corners) != numbers[place]:
            raise ValueError("cut short")
        triangles.extend((corners[0], corners[k], corners[k + 1]) for k in range(1, len(corners) - 1))
        place += 1 + len(corners)
    if place < len(numbers):
        # Taken for faces they may make another shape.
        raise MediaError(f"{len(numbers) - place} numbers follow its {polygons} faces")
    return np.array(triangles, dtype=np.int64).reshape(-1, 3)


def render(vertices: np.ndarray, faces: np.ndarray, azimuth: float, size: int) -> np.ndarray:
    """Return a picture uint8 (3, size, size) of a mesh on white, seen from ``azimuth`` degrees around its z axis.

    Parallel projection, the shape scaled to fill the picture, flat shading by a light at the camera, both sides lit.
    """
    points = _camera(vertices, azimuth)
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1)
    shade = np.where(length > 0, np.abs(normals[:, 2]) / np.where(length > 0, length, 1.0), 0.0)
    levels = np.round(40.0 + 190.0 * shade).astype(np.uint8)
    screen = np.empty_like(corners)
    screen[..., 0] = (0.5 + 0.45 * corners[..., 0]) * size
    screen[..., 1] = (0.5 - 0.45 * corners[..., 1]) * size
    screen[..., 2] = corners[..., 2]
    picture = _draw(screen, levels, size)
    return np.repeat(picture[None], 3, axis=0)


def _camera(vertices: np.ndarray, azimuth: float) -> np.ndarray:
    """Return vertices with x to the right, y up and z towards the camera, inside the unit ball."""
    centred = vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2.0
    radius = np.linalg.norm(centred, axis=1).max()
    centred = centred / (radius if radius > 0 else 1.0)
    turn, tilt = np.deg2rad(azimuth), np.deg2rad(ELEVATION)
    right = np.array([-np.sin(turn), np.cos(turn), 0.0])
    toward = np.array([np.cos(turn) * np.cos(tilt), np.sin(turn) * np.cos(tilt), np.sin(tilt)])
    return centred @ np.stack([right, np.cross(toward, right), toward], axis=1)


def _draw(screen: np.ndarray, levels: np.ndarray, size: int) -> np.ndarray:
    """Return the gray picture (size, size) of triangles ``screen`` (F, 3, 3), the nearest one at every pixel."""
    depth = np.full(size * size, -np.inf)
    picture = np.full(size * size, 255, dtype=np.uint8)
    low = np.clip(np.ceil(screen[..., :2].min(axis=1) - 0.5), 0, size).astype(np.int64)
    high = np.clip(np.floor(screen[..., :2].max(axis=1) - 0.5) + 1, 0, size).astype(np.int64)
    boxes = np.maximum(high - low, 0)
    fragments = boxes[:, 0] * boxes[:, 1]
    ends = np.cumsum(fragments)
    if len(ends) and ends[-1] > MAX_WORK:
        raise MediaError(f"its faces cover {ends[-1]:,} pixels, too many to be drawn")
    start = 0
    while start < len(screen):
        base = ends[start] - fragments[start]
        stop = max(start + 1, int(np.searchsorted(ends, base + MAX_FRAGMENTS, side="right")))
        part = slice(start, stop)
        _draw_part(screen[part], levels[part], low[part], boxes[part], fragments[part], size, depth, picture)
        start = stop
    return picture.reshape(size, size)


def _draw_part(
    screen: np.ndarray,
    levels: np.ndarray,
    low: np.ndarray,
    boxes: np.ndarray,
    fragments: np.ndarray,
    size: int,
    depth: np.ndarray,
    picture: np.ndarray,
) -> None:
    """Draw some triangles into ``depth`` and ``picture``: every pixel of every triangle's box at once."""
    owner = np.repeat(np.arange(len(screen)), fragments)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(fragments) - fragments, fragments)
    x = low[owner, 0] + offset % np.maximum(boxes[owner, 0], 1)
    y = low[owner, 1] + offset // np.maximum(boxes[owner, 0], 1)
    a, b, c = (screen[owner, corner] for corner in range(3))
    px, py = x + 0.5, y + 0.5
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    safe = np.where(area == 0, 1.0, area)
    u = ((b[:, 0] - px) * (c[:, 1] - py) - (b[:, 1] - py) * (c[:, 0] - px)) / safe
    v = ((c[:, 0] - px) * (a[:, 1] - py) - (c[:, 1] - py) * (a[:, 0] - px)) / safe
    w = 1.0 - u - v
    inside = (area != 0) & (u >= -1e-9) & (v >= -1e-9) & (w >= -1e-9)
    z = (u * a[:, 2] + v * b[:, 2] + w * c[:, 2])[inside]
    pixel, level = (y * size + x)[inside], levels[owner[inside]]
    # Nearest last, so that it is the one that stays; of equals the last face.
    order = np.argsort(z, kind="stable")
    pixel, z, level = pixel[order], z[order], level[order]
    nearer = z >= depth[pixel]
    depth[pixel[nearer]] = z[nearer]
    picture[pixel[nearer]] = level[nearer]
