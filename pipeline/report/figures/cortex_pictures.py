"""Four pictures of fsaverage5 that a page paints: which vertex is seen at each pixel, and how light it is there.

Both hemispheres are drawn from outside and from the middle, inflated. What lies at a pixel does not depend on what is
shown, so that a page holds these pictures once and paints every map through them: no map needs WebGL,
and all are on paper too. Meshes and sulcal depth are those that nilearn brings with it; nothing is downloaded.
"""

from __future__ import annotations

import base64
import functools
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MESH = "fsaverage5"
HEMISPHERES = ("left", "right")
VIEWS = (("left", "lateral"), ("left", "medial"), ("right", "medial"), ("right", "lateral"))
PIXELS_PER_MM = 2.0
MARGIN_MM = 2.0
LONGEST_RUN = 255  # of pixels in a row, as it is told in a byte
NO_VERTEX = 65_535
AMBIENT = 0.45  # of the light, which comes from where the picture is taken
SULCUS_DARKER = 0.30


@functools.cache
def cortex_pictures() -> str:
    """The pictures as JSON.

    ``width`` and ``height`` in pixels; ``first`` (hemisphere → number of its first vertex when both are counted on);
    ``views``: hemisphere, side, and, row by row and `encoded`, ``vertex`` (uint16, `NO_VERTEX` for none) and ``length``
    (uint8) of runs of pixels, and ``light`` (uint8) of squares of 2 × 2 pixels.
    """
    meshes, depth = _surfaces()
    ends = np.stack([np.abs(one.coordinates).max(axis=0) for one in meshes.values()]).max(axis=0)
    width, height = (2 * int(np.ceil(PIXELS_PER_MM * (end + MARGIN_MM))) for end in ends[1:])
    first = {"left": 0, "right": len(meshes["left"].coordinates)}
    views = []
    for hemisphere, side in VIEWS:
        mesh = meshes[hemisphere]
        vertex, light = _picture(
            mesh.coordinates, mesh.faces, depth[hemisphere], from_right(hemisphere, side), (width, height)
        )
        seen = np.where(vertex >= 0, vertex + first[hemisphere], NO_VERTEX)
        numbers, lengths = _runs(seen.ravel())
        views.append(
            {
                "hemisphere": hemisphere,
                "side": side,
                "vertex": encoded(numbers.astype("<u2")),
                "length": encoded(lengths.astype("u1")),
                "light": encoded(_halved(light).astype("u1")),
            }
        )
    contents = {"width": width, "height": height, "first": first, "views": views}
    return json.dumps(contents, separators=(",", ":"))


def n_vertices() -> int:
    """Vertices of a hemisphere."""
    return len(_surfaces()[0]["left"].coordinates)


def encoded(values: NDArray[Any]) -> str:
    """An array's bytes as text: the lowest byte of every number, then the next of every number, deflated, in base64.

    Apart, the bytes that hold noise do not keep the others from shrinking.
    """
    planes = np.ascontiguousarray(values).view("u1").reshape(values.size, -1).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()


def from_right(hemisphere: str, side: str) -> bool:
    """Whether the picture is taken from the right: of the right hemisphere from outside, of the left from within."""
    return (hemisphere == "right") == (side == "lateral")


@functools.cache
def _surfaces() -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """(hemisphere → inflated mesh, hemisphere → sulcal depth per vertex), as nilearn has them."""
    from nilearn.datasets import load_fsaverage, load_fsaverage_data

    meshes = load_fsaverage(MESH)["inflated"].parts
    depth = load_fsaverage_data(mesh=MESH, mesh_type="inflated", data_type="sulcal").data.parts
    return dict(meshes), {name: np.asarray(depth[name], dtype=np.float64).ravel() for name in HEMISPHERES}


def _picture(
    coordinates: NDArray[Any], faces: NDArray[Any], depth: NDArray[Any], right: bool, size: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(height, width) nearest vertex of the face in front, −1 where there is none; and light from 0 to 255."""
    sign = 1.0 if right else -1.0
    width, height = size
    across = sign * coordinates[:, 1] * PIXELS_PER_MM + width / 2
    down = height / 2 - coordinates[:, 2] * PIXELS_PER_MM
    near = sign * coordinates[:, 0]
    shade = _light(coordinates, faces, sign) * (1 - SULCUS_DARKER * _sulcus(depth))
    vertex, light = np.full(height * width, -1), np.zeros(height * width)
    nearest = np.full(height * width, -np.inf)
    for pixel, face, weight in _pixels_in_faces(across[faces], down[faces], size):
        reached = (weight * near[faces[face]]).sum(axis=1)
        order = np.lexsort((reached, pixel))  # of the faces at one pixel, the nearest comes last
        last = order[np.flatnonzero(np.diff(pixel[order], append=-1))]
        last = last[reached[last] > nearest[pixel[last]]]
        here, corners = pixel[last], faces[face[last]]
        nearest[here] = reached[last]
        vertex[here] = corners[np.arange(last.size), weight[last].argmax(axis=1)]
        light[here] = (weight[last] * shade[corners]).sum(axis=1)
    return vertex.reshape(height, width), np.round(255 * light.clip(0, 1)).reshape(height, width)


def _pixels_in_faces(x: NDArray[Any], y: NDArray[Any], size: tuple[int, int], most: int = 4000) -> Any:
    """Pixel centres in triangles, some thousand of these at a time: (pixel, face, barycentric weights).

    Parameters
    ----------
    x, y : (face, corner) in pixels
    """
    width, height = size
    left, top = np.floor(x.min(axis=1)).astype(int), np.floor(y.min(axis=1)).astype(int)
    across = int(np.ceil((x.max(axis=1) - left).max())) + 1
    down = int(np.ceil((y.max(axis=1) - top).max())) + 1
    step_x, step_y = (one.ravel() for one in np.meshgrid(np.arange(across), np.arange(down)))
    for start in range(0, len(x), most):
        part = slice(start, start + most)
        column, row = left[part, None] + step_x, top[part, None] + step_y
        weight = _barycentric(column + 0.5, row + 0.5, x[part], y[part])
        inside = (weight >= -1e-9).all(axis=-1) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        face, _ = np.nonzero(inside)
        yield (row * width + column)[inside], face + start, weight[inside]


def _barycentric(px: NDArray[Any], py: NDArray[Any], x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """(face, point, corner) weights of points; NaN for a triangle seen edge-on."""
    (x0, x1, x2), (y0, y1, y2) = (one.T[..., None] for one in (x, y))
    area = (y1 - y2) * (x0 - x2) + (x2 - x1) * (y0 - y2)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = ((y1 - y2) * (px - x2) + (x2 - x1) * (py - y2)) / area
        second = ((y2 - y0) * (px - x2) + (x0 - x2) * (py - y2)) / area
    return np.stack([first, second, 1 - first - second], axis=-1)


def _light(coordinates: NDArray[Any], faces: NDArray[Any], sign: float) -> NDArray[np.float64]:
    """(vertex,) light from the camera: 1 where the surface faces it, `AMBIENT` where it is seen edge-on."""
    corners = coordinates[faces].astype(np.float64)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = np.zeros(coordinates.shape)
    for corner in range(3):
        np.add.at(normal, faces[:, corner], across)
    towards = np.abs(normal[:, 0]) / np.linalg.norm(normal, axis=1).clip(1e-12)
    return AMBIENT + (1 - AMBIENT) * np.sqrt(towards)


def _halved(light: NDArray[Any]) -> NDArray[Any]:
    """The highest of each 2 × 2 pixels: at the edge of the brain those outside have none."""
    height, width = light.shape
    highest: NDArray[Any] = light.reshape(height // 2, 2, width // 2, 2).max(axis=(1, 3))
    return highest


def _sulcus(depth: NDArray[Any]) -> NDArray[np.float64]:
    """(vertex,) from 0 on a gyrus to 1 in a sulcus, steep between the two."""
    return 1 / (1 + np.exp(-6 * depth))


def _runs(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Values and lengths of runs of equal neighbours, none longer than `LONGEST_RUN`."""
    starts = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
    lengths = np.diff(starts, append=values.size)
    pieces = -(-lengths // LONGEST_RUN)
    numbers, cut = np.repeat(values[starts], pieces), np.full(pieces.sum(), LONGEST_RUN)
    cut[np.cumsum(pieces) - 1] = lengths - LONGEST_RUN * (pieces - 1)
    return numbers, cut
