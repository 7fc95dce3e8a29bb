"""What the targets are: units of a parcellation, the region of each, and the vertices or voxels that it is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import BrokenArtifact, SampleMismatch, UnknownName
from pipeline.core.names import clean_name, first_repeated, refuse_alike
from pipeline.formats.tables import TABS, read_table
from pipeline.recordings.bold.images import N_VERTICES, open_nifti, voxels
from pipeline.recordings.bold.options import Labels, Schaefer, Spheres, Vertices
from pipeline.recordings.bold.parcellation.atlases import (
    FOLDER,
    INITIAL,
    SIDES,
    annotation_paths,
    schaefer_volume_names,
)
from pipeline.recordings.bold.parcellation.projection import middle_of_cortex, projection_matrix, rows_that_average
from pipeline.recordings.bold.tables import read_labels

if TYPE_CHECKING:
    import nibabel
    import numpy as np
    import scipy.sparse

    from pipeline.core.section import Section

AUDITORY_TO_PREFRONTAL: dict[str, tuple[str, ...]] = {
    "Heschl": ("G_temp_sup-G_T_transv", "S_temporal_transverse"),
    "planum": ("G_temp_sup-Plan_tempo", "G_temp_sup-Plan_polar"),
    "STG": ("G_temp_sup-Lateral",),
    "STS": ("S_temporal_sup",),
    "angular": ("G_pariet_inf-Angular",),
    "IFG": ("G_front_inf-Opercular", "G_front_inf-Triangul", "G_front_inf-Orbital"),
    "prefrontal": ("G_front_middle", "G_front_sup"),
}
"""Region → parcels of Destrieux et al. 2010 (NeuroImage 53:1), as FreeSurfer names them in ``aparc.a2009s``."""

OUTSIDE = frozenset(
    {"unknown", "medial_wall", "medialwall", "???", "background", "background+freesurfer_defined_medial_wall"}
)
"""Labels, in small letters, that are no cortex."""
MIN_WEIGHT = 0.5
"""A unit of which less than this part lies in the image, and is a number, has no response."""


@dataclasses.dataclass(frozen=True)
class Units:
    """The targets of one listener; all listeners have the same.

    Parameters
    ----------
    name : (n_units,) unique, e.g. ``lh-G_temp_sup-Lateral`` or ``lh-v00017``
    region, hemisphere, parcel : (n_units,) hemisphere is left, right or empty
    vertex : (n_units,) number within the hemisphere's mesh, −1 where a unit is no vertex
    xyz_mm : (n_units, 3) centre, NaN where unknown
    members : surfaces: (2, n_vertices) of the mesh, left and right: number of the unit, −1 for none
    """

    name: np.ndarray
    region: np.ndarray
    hemisphere: np.ndarray
    parcel: np.ndarray
    vertex: np.ndarray
    xyz_mm: np.ndarray
    members: np.ndarray | None = None

    def painted(self) -> np.ndarray | None:
        """(20,484,) name of the unit on each vertex of fsaverage5, left hemisphere first; None without a surface."""
        import numpy as np

        if self.members is None:
            return None
        number = self.members[:, : N_VERTICES["fsaverage5"]].ravel()
        return np.where(number >= 0, self.name[number], "").astype(object)


def surface_units(parcellation: Section, raw_folder: Path, mesh: str, remedy: str) -> Units:
    """Units on the vertices of a mesh, by two annotations.

    Raises
    ------
    BrokenArtifact
        An annotation is missing or damaged.
    SampleMismatch
        It has fewer vertices than the mesh.
    UnknownName
        A region names a parcel that is not there.
    """
    import numpy as np

    labels = [_read_annotation(path, mesh, remedy) for path in annotation_paths(parcellation, raw_folder)]
    atlas = parcellation.atlas if isinstance(parcellation, Vertices) else parcellation
    region_of = _regions(atlas, [str(name) for name in np.unique(np.concatenate(labels)) if name])
    n_coarse = N_VERTICES["fsaverage5"]
    places = np.full((2, labels[0].size, 3), np.nan)
    places[:, :n_coarse] = middle_of_cortex().reshape(2, n_coarse, 3)
    members = np.full((2, labels[0].size), -1)
    rows: list[tuple[str, str, str, str, int]] = []
    for half, side in enumerate(SIDES):
        for name, where in _vertices_of(labels[half], region_of, single=isinstance(parcellation, Vertices)):
            vertex = int(where[0]) if isinstance(parcellation, Vertices) else -1
            unit = f"v{vertex:05d}" if vertex >= 0 else name
            members[half, where] = len(rows)
            rows.append((f"{INITIAL[side]}-{unit}", region_of[name], side, name, vertex))
    xyz_mm = np.full((len(rows), 3), np.nan)
    number, known = members.ravel(), np.isfinite(places[..., 0].ravel())
    counted = (number >= 0) & known
    n_places = np.bincount(number[counted], minlength=len(rows))
    for axis in range(3):
        total = np.bincount(number[counted], places[..., axis].ravel()[counted], minlength=len(rows))
        xyz_mm[:, axis] = np.divide(total, n_places, out=np.full(len(rows), np.nan), where=n_places > 0)
    return _units(rows, xyz_mm, members)


def surface_weights(units: Units) -> scipy.sparse.csr_matrix:
    """(n_units, 2 · n_vertices) sparse: the mean over each unit's vertices, left hemisphere first."""
    import numpy as np
    import scipy.sparse

    members = _members(units).ravel()
    where = np.flatnonzero(members >= 0)
    ones = scipy.sparse.coo_matrix(
        (np.ones(where.size), (members[where], where)), shape=(units.name.size, members.size)
    )
    return rows_that_average(ones.tocsr())


def projected_weights(units: Units, shape: tuple[int, ...], affine: np.ndarray) -> scipy.sparse.csr_matrix:
    """(n_units, n_voxels) sparse: volumes projected onto fsaverage5, then the mean over each unit's vertices."""
    import numpy as np
    import scipy.sparse

    projected = projection_matrix(shape, affine)
    weights = surface_weights(units)
    # Vertices outside of the image do not count.
    seen = scipy.sparse.diags((np.asarray(projected.sum(axis=1)).ravel() > MIN_WEIGHT).astype(np.float64))
    share = np.asarray((weights @ seen).sum(axis=1)).ravel()
    return _only_where(rows_that_average((weights @ projected).tocsr()), share)


def volume_units(parcellation: Section, raw_folder: Path, remedy: str) -> Units:
    """Units made of voxels: spheres, or the labels of an image."""
    import numpy as np

    if isinstance(parcellation, Spheres):
        centres = np.array(list(parcellation.coordinates.values()))
        region_of = _regions(parcellation, list(parcellation.coordinates))
        kept = [(name, at) for name, at in zip(parcellation.coordinates, centres, strict=True) if name in region_of]
        sides = ["left" if at[0] < 0 else "right" if at[0] > 0 else "" for _, at in kept]
        rows = [(name, region_of[name], side, name, -1) for (name, _), side in zip(kept, sides, strict=True)]
        return _units(rows, np.array([at for _, at in kept]), None)
    path, parcels = _label_image(parcellation, raw_folder, remedy)
    image = open_nifti(path, 3, remedy)
    labels = np.asarray(voxels(path, image, remedy)).astype(np.int64)
    kept_parcels = _in_regions(parcels, _regions(parcellation, [parcel.name for parcel in parcels]))
    centres_mm = []
    for parcel, _ in kept_parcels:
        at = np.argwhere(labels == parcel.label)
        if not at.size:
            raise SampleMismatch(
                f"{path} has no voxel of '{parcel.name}' (label {parcel.label}); correct the table of names"
            )
        centres_mm.append(image.affine[:3, :3] @ at.mean(axis=0) + image.affine[:3, 3])
    rows = [(parcel.unit, region, parcel.side, parcel.name, -1) for parcel, region in kept_parcels]
    return _units(rows, np.array(centres_mm), None)


def volume_weights(
    parcellation: Section, raw_folder: Path, shape: tuple[int, ...], affine: np.ndarray, remedy: str
) -> scipy.sparse.csr_matrix:
    """(n_units, n_voxels) sparse on the grid of the BOLD: the mean over each unit's voxels, Fortran order."""
    import numpy as np
    import scipy.sparse

    n_voxels = int(np.prod(shape))
    if isinstance(parcellation, Spheres):
        voxel = np.stack(np.unravel_index(np.arange(n_voxels), shape, order="F"), axis=1)
        place = voxel @ affine[:3, :3].T + affine[:3, 3]
        region_of = _regions(parcellation, list(parcellation.coordinates))
        near = []
        for name, centre in parcellation.coordinates.items():
            if name not in region_of:
                continue
            near.append(np.flatnonzero(((place - np.array(centre)) ** 2).sum(axis=1) <= parcellation.radius_mm**2))
            if not near[-1].size:
                raise SampleMismatch(
                    f"no voxel of the BOLD lies within {parcellation.radius_mm:g} mm of sphere '{name}' at "
                    f"{', '.join(f'{axis:g}' for axis in centre)} mm; correct its coordinates or enlarge radius_mm"
                )
    else:
        path, parcels = _label_image(parcellation, raw_folder, remedy)
        labels = _on_grid(open_nifti(path, 3, remedy), shape, affine)
        kept_parcels = _in_regions(parcels, _regions(parcellation, [parcel.name for parcel in parcels]))
        near = [np.flatnonzero(labels == parcel.label) for parcel, _ in kept_parcels]
    row = np.repeat(np.arange(len(near)), [where.size for where in near])
    ones = scipy.sparse.coo_matrix((np.ones(row.size), (row, np.concatenate(near))), shape=(len(near), n_voxels))
    return rows_that_average(ones.tocsr())


def average(weights: scipy.sparse.csr_matrix, values: np.ndarray) -> np.ndarray:
    """Weighted means over places that are numbers.

    Parameters
    ----------
    weights : (n_units, n_places) sparse, rows summing to 1 or empty
    values : (n_places, n_volumes); NaN and infinite ones, as outside of the brain, do not count

    Returns
    -------
    (n_volumes, n_units) float64, as means vary little about a large value; NaN for units of which less than half has
    numbers
    """
    import numpy as np

    finite = np.isfinite(values)
    if finite.all():
        means = weights @ values
        share = np.broadcast_to(np.asarray(weights.sum(axis=1)), means.shape)
    else:
        share = weights @ finite.astype(np.float64)
        means = weights @ np.where(finite, values, np.float32(0))
        means = np.divide(means, share, out=np.zeros_like(means), where=share > 0)
    return np.where(share >= MIN_WEIGHT, means, np.nan).T


def _units(rows: list[tuple[str, str, str, str, int]], xyz_mm: np.ndarray, members: np.ndarray | None) -> Units:
    import numpy as np

    name, region, hemisphere, parcel, vertex = (np.array([row[i] for row in rows]) for i in range(5))
    return Units(name, region, hemisphere, parcel, vertex, xyz_mm.reshape(-1, 3), members)


def _members(units: Units) -> np.ndarray:
    if units.members is None:
        raise SampleMismatch("surfaces need a parcellation on a surface; these units are made of voxels")
    return units.members


def _vertices_of(labels: np.ndarray, region_of: Mapping[str, str], single: bool) -> list[tuple[str, np.ndarray]]:
    """(parcel, its vertices), parcels in the order of the regions; or one entry per vertex, in their order."""
    import numpy as np

    if single:
        chosen = np.flatnonzero(np.isin(labels, list(region_of)))
        return [(str(labels[vertex]), np.array([vertex])) for vertex in chosen.tolist()]
    found = [(name, np.flatnonzero(labels == name)) for name in region_of]
    return [(name, where) for name, where in found if where.size]


def _regions(parcellation: Section, names: list[str]) -> dict[str, str]:
    """Parcel → region, in their order; raises `UnknownName` for a parcel that is not there, and refuses look-alikes."""
    asked: Any = getattr(parcellation, "regions", "parcels")
    refuse_alike(names, "the parcellation", "parcel")
    if asked == "parcels":
        return {name: name for name in names}
    grouped: Mapping[str, tuple[str, ...]] = AUDITORY_TO_PREFRONTAL if asked == "auditory" else asked
    found: dict[str, str] = {}
    for region, parcels in grouped.items():
        for name in parcels:
            if name not in names:
                kind = getattr(parcellation, "kind", "the parcellation")
                raise UnknownName(f"parcel of {kind}", name, names, f"correct region '{region}'")
            if name in found:
                raise BrokenArtifact(f"parcel '{name}' lies in the regions '{found[name]}' and '{region}'; remove one")
            found[name] = region
    return found


def _read_annotation(path: Path, mesh: str, remedy: str) -> np.ndarray:
    """(n_vertices,) parcel of each vertex of the mesh, empty where it is no cortex.

    Names of Schaefer and Glasser lose the hemisphere that they begin with: both hemispheres' parcels are called alike.
    """
    import numpy as np
    from nibabel.freesurfer import read_annot

    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; {remedy}")
    try:
        labels, _, names = read_annot(str(path))
    except Exception as error:  # nibabel raises whatever the damaged bytes lead to
        raise BrokenArtifact(
            f"{path} is no FreeSurfer annotation ({type(error).__name__}: truncated or altered); {remedy}"
        ) from error
    n_vertices = N_VERTICES[mesh]
    if labels.size < n_vertices:
        raise SampleMismatch(
            f"{path} has {labels.size} vertices and {mesh} {n_vertices}; choose mesh: fsaverage5 or a finer atlas"
        )
    text = [name.decode("utf-8", errors="replace").strip() for name in names]
    text = [
        "" if name.lower() in ("", *OUTSIDE) else _without_side(clean_name(name, str(path), "parcel")) for name in text
    ]
    labels = labels[:n_vertices]
    return np.where(labels >= 0, np.array([*text, ""])[labels], "")


def _without_side(name: str) -> str:
    for side in ("L_", "R_"):
        if name.startswith(side) and name.endswith("_ROI"):
            return name[len(side) : -len("_ROI")]
    return name.replace("_LH_", "_").replace("_RH_", "_")


@dataclasses.dataclass(frozen=True)
class _Parcel:
    """A label of an image; Schaefer's names say the hemisphere, and lose it here as annotations' do."""

    label: int
    written: str

    @property
    def side(self) -> str:
        return "left" if "_LH_" in self.written else "right" if "_RH_" in self.written else ""

    @property
    def name(self) -> str:
        return _without_side(self.written)

    @property
    def unit(self) -> str:
        return f"{INITIAL[self.side]}-{self.name}" if self.side else self.name


def _in_regions(parcels: list[_Parcel], region_of: Mapping[str, str]) -> list[tuple[_Parcel, str]]:
    """The parcels of the regions with their region: left, right and midline ones, each in the order of the regions."""
    place = {name: number for number, name in enumerate(region_of)}
    kept = [(parcel, region_of[parcel.name]) for parcel in parcels if parcel.name in region_of]
    return sorted(kept, key=lambda pair: ([*SIDES, ""].index(pair[0].side), place[pair[0].name]))


def _label_image(parcellation: Section, raw_folder: Path, remedy: str) -> tuple[Path, list[_Parcel]]:
    """A label image and its labels."""
    import numpy as np

    if isinstance(parcellation, Schaefer):
        image, table = (raw_folder / FOLDER / name for name in schaefer_volume_names(parcellation))
        return image, _schaefer_names(table, remedy)
    if not isinstance(parcellation, Labels) or parcellation.image is None:
        raise SampleMismatch("this parcellation lies on a surface and has no label image")
    path = Path(parcellation.image)
    if parcellation.names is not None:
        named = read_labels(Path(parcellation.names), "")
        parcels = [_Parcel(label, name) for label, name in named.items() if label != 0]
        twice = first_repeated(parcel.unit for parcel in parcels)
        if twice is not None:
            raise BrokenArtifact(f"{parcellation.names} calls two labels '{twice}'; give each a name of its own")
        return path, parcels
    labels = np.unique(np.asarray(voxels(path, open_nifti(path, 3, remedy), remedy)).astype(np.int64))
    return path, [_Parcel(label, f"label-{label}") for label in labels.tolist() if label > 0]


def _schaefer_names(path: Path, remedy: str) -> list[_Parcel]:
    """CBIG's table: number, name and a colour, tab-separated, without a header."""
    table = read_table(path, dialect=TABS, columns=("index", "name", "red", "green", "blue", "alpha"), remedy=remedy)
    return [_Parcel(*row) for row in zip(table.whole_numbers("index"), table.names("name"), strict=True)]


def _on_grid(image: nibabel.Nifti1Image, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """(n_voxels,) labels at the voxels of another grid, by the nearest neighbour, Fortran order."""
    import numpy as np
    from nilearn.image import resample_img

    if image.shape != tuple(shape) or not np.allclose(image.affine, affine, atol=1e-3):
        image = resample_img(
            image,
            target_affine=affine,
            target_shape=shape,
            interpolation="nearest",
            copy_header=True,
            force_resample=True,
        )
    return np.asarray(image.dataobj).astype(np.int64).ravel(order="F")


def _only_where(weights: scipy.sparse.csr_matrix, share: np.ndarray) -> scipy.sparse.csr_matrix:
    """Rows of units of which less than half is seen become empty."""
    import scipy.sparse

    return scipy.sparse.csr_matrix(scipy.sparse.diags((share >= MIN_WEIGHT).astype(float)) @ weights)
