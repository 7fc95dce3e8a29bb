"""From a scan's images to the responses of units, whichever of voxels and vertices both are made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact
from pipeline.recordings.bold.images import N_VERTICES, count_volumes, open_nifti, read_gifti, volume_chunks
from pipeline.recordings.bold.options import BoldOptions, Vertices, is_volumetric
from pipeline.recordings.bold.parcellation.parcels import (
    Units,
    average,
    projected_weights,
    surface_weights,
    volume_weights,
)

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse


class Readout:
    """Reads the units of scans; what depends on a grid of voxels is found once for all scans that share it.

    Parameters
    ----------
    units : as `surface_units` or `volume_units` give them
    raw_folder : where ``atlases/`` lies
    remedy : what to do where a file is missing or damaged, for messages
    """

    def __init__(self, units: Units, raw_folder: Path, options: BoldOptions, remedy: str) -> None:
        self.units = units
        self.raw_folder = raw_folder
        self.options = options
        self.remedy = remedy
        self._grid: tuple[tuple[int, ...], bytes] | None = None
        self._weights: scipy.sparse.csr_matrix | None = None

    def check(self, path: Path, is_surface: bool) -> None:
        """Refuse images that the parcellation cannot take; raises `BrokenArtifact` naming both."""
        kind = self.options.parcellation.kind
        if is_surface and is_volumetric(self.options.parcellation):
            raise BrokenArtifact(
                f"{path} is a surface and parcellation '{kind}' is made of voxels; "
                "choose volumes, or a parcellation on a surface"
            )
        if not is_surface and not is_volumetric(self.options.parcellation) and self.options.mesh != "fsaverage5":
            raise BrokenArtifact(
                f"{path} is a volume, which is projected onto fsaverage5, and mesh is {self.options.mesh}; "
                "set mesh: fsaverage5"
            )

    def read(self, images: tuple[Path, ...]) -> np.ndarray:
        """(n_volumes, n_units) float64, float32 for vertices; NaN where less than half of a unit was measured."""
        return self._read_volume(images[0]) if len(images) == 1 else self._read_surfaces(images)

    def _read_surfaces(self, images: tuple[Path, ...]) -> np.ndarray:
        """One hemisphere after the other."""
        import numpy as np

        members = self.units.members
        if members is None:
            raise BrokenArtifact(f"{images[0]} is a surface and the parcellation is made of voxels")
        n_vertices = N_VERTICES[self.options.mesh]
        single = isinstance(self.options.parcellation, Vertices)
        n_volumes = count_volumes(images[0], self.remedy)
        block = np.empty((n_volumes, self.units.name.size), np.float32 if single else np.float64)
        for half, path in enumerate(images):
            vertices = np.flatnonzero(members[half] >= 0)
            if not vertices.size:
                continue
            # Units of a hemisphere follow one another.
            numbers = members[half][vertices]
            columns = slice(numbers.min(), numbers.max() + 1)
            if single:
                read_gifti(path, self.options.mesh, self.remedy, vertices, out=block[:, columns])
                continue
            if self._weights is None:
                self._weights = surface_weights(self.units)
            weights = self._weights[columns][:, half * n_vertices : (half + 1) * n_vertices]
            values = read_gifti(path, self.options.mesh, self.remedy)
            if values.shape[0] != block.shape[0]:
                raise BrokenArtifact(
                    f"{path} holds {values.shape[0]} volumes, expected {block.shape[0]}; {self.remedy}"
                )
            block[:, columns] = average(weights, values.T)
        return block

    def _read_volume(self, path: Path) -> np.ndarray:
        """Some volumes after the other."""
        import numpy as np

        image = open_nifti(path, 4, self.remedy)
        weights = self._weights_on(image.shape[:3], image.affine)
        return np.concatenate([average(weights, chunk) for chunk in volume_chunks(path, image, self.remedy)])

    def _weights_on(self, shape: tuple[int, ...], affine: np.ndarray) -> scipy.sparse.csr_matrix:

        grid = (tuple(shape), affine.tobytes())
        if self._weights is None or self._grid != grid:
            parcellation = self.options.parcellation
            if is_volumetric(parcellation):
                weights = volume_weights(parcellation, self.raw_folder, shape, affine, self.remedy)
            else:
                weights = projected_weights(self.units, shape, affine)
            self._weights, self._grid = weights, grid
        return self._weights
