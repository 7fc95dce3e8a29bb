"""Volumes in MNI space to fsaverage5, as `nilearn.surface.vol_to_surf` does between white matter and pial surface.

What nilearn samples at each vertex is a fixed weighted sum of voxels, and it interpolates anew for each volume. Here
the weights are found once per grid, as a sparse matrix; a scan of 300 volumes then takes a second instead of minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse

N_DEPTHS = 10  # as many as nilearn takes
SIDES = ("left", "right")


def fsaverage5(part: str, side: str) -> Any:
    """A mesh that nilearn brings: ``part`` is white or pial; with ``coordinates`` (10,242, 3) in mm and ``faces``."""
    from nilearn import datasets, surface

    return surface.load_surf_mesh(datasets.fetch_surf_fsaverage("fsaverage5")[f"{part}_{side}"])


def middle_of_cortex() -> np.ndarray:
    """(20,484, 3) halfway between white matter and pial surface of fsaverage5, in mm; left hemisphere first."""
    import numpy as np

    halves = [(fsaverage5("white", side).coordinates + fsaverage5("pial", side).coordinates) / 2 for side in SIDES]
    return np.concatenate(halves).astype(np.float64)


def projection_matrix(shape: tuple[int, ...], affine: np.ndarray) -> scipy.sparse.csr_matrix:
    """Weights of voxels for the vertices of fsaverage5, both hemispheres.

    Parameters
    ----------
    shape : (x, y, z) of the volumes
    affine : (4, 4) voxel to mm

    Returns
    -------
    sparse (20,484, n_voxels), voxels in Fortran order
        Trilinear interpolation at ten depths, averaged; rows sum to 1, or are empty where all depths lie outside of
        the image.
    """
    import numpy as np
    import scipy.sparse

    to_voxel = np.linalg.inv(affine)
    depths = np.linspace(0, 1, N_DEPTHS)
    places = []
    for side in SIDES:
        outer, inner = fsaverage5("pial", side).coordinates, fsaverage5("white", side).coordinates
        places.append(outer[:, None] + depths[None, :, None] * (inner - outer)[:, None])
    points = np.concatenate(places).reshape(-1, 3) @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    vertex = np.repeat(np.arange(points.shape[0] // N_DEPTHS), N_DEPTHS)
    size = np.array(shape[:3])
    inside = ((points >= 0) & (points < size)).all(axis=1)  # nilearn's rule for which depths count
    points, vertex = points[inside], vertex[inside]
    corner = np.clip(np.floor(points).astype(np.int64), 0, np.maximum(size - 2, 0))
    part = np.clip(points - corner, 0, 1)
    rows, columns, weights = [], [], []
    for step in np.ndindex(2, 2, 2):
        chosen = np.array(step)
        at = np.minimum(corner + chosen, size - 1)
        rows.append(vertex)
        columns.append(at[:, 0] + size[0] * (at[:, 1] + size[1] * at[:, 2]))
        weights.append(np.where(chosen, part, 1 - part).prod(axis=1))
    n_rows = sum(len(place) for place in places)
    matrix = scipy.sparse.coo_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(n_rows, int(size.prod()))
    ).tocsr()
    return rows_that_average(matrix)


def rows_that_average(matrix: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
    """The same with rows that sum to 1; empty rows stay empty."""
    import numpy as np
    import scipy.sparse

    total = np.asarray(matrix.sum(axis=1)).ravel()
    scale = np.divide(1.0, total, out=np.zeros_like(total, dtype=np.float64), where=total > 0)
    return scipy.sparse.csr_matrix(scipy.sparse.diags(scale) @ matrix)
