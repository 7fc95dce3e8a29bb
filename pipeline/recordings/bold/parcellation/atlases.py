"""Where the files of parcellations come from, and where they lie in the raw folder.

Destrieux's are pinned, with their size and SHA-256. The others' digests are recorded when they first come.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.catalogue import RawFile
from pipeline.recordings.bold.options import Destrieux, Glasser, Schaefer, Vertices

if TYPE_CHECKING:
    from pipeline.core.section import Section
    from pipeline.recordings.bold.options import BoldOptions

FOLDER = "atlases"
SIDES = ("left", "right")
INITIAL = {"left": "lh", "right": "rh"}

_DESTRIEUX = (
    "https://raw.githubusercontent.com/OpenNeuroDerivatives/ds002345-fmriprep/"
    "2de7556634645babf4762be89f9a7ebd83716aa9/sourcedata/freesurfer/fsaverage5/label"
)
_DESTRIEUX_BYTES = 85260
_DESTRIEUX_SHA256 = {
    "left": "c2401d6137949f33788283a4926cb61cb3b0bfe5bda1b368c22aa921ea06d38d",
    "right": "99c028f9f9d8dce617e9f29a5ebdc2f1b187d83650b68128fae53c3669588da7",
}
_SCHAEFER = (
    "https://raw.githubusercontent.com/ThomasYeoLab/CBIG/v0.14.3-Update_Yeo2011_Schaefer2018_labelname/"
    "stable_projects/brain_parcellation/Schaefer2018_LocalGlobal/Parcellations"
)
_GLASSER = {
    "left": "https://ndownloader.figshare.com/files/5528816",
    "right": "https://ndownloader.figshare.com/files/5528819",
}


def atlas_files(options: BoldOptions) -> tuple[RawFile, ...]:
    """What the parcellation needs fetched, under ``atlases/``; none for spheres and for a user's own files."""
    atlas = _atlas_of(options.parcellation)
    if isinstance(atlas, Destrieux):
        return tuple(
            RawFile(
                path=f"{FOLDER}/{_annotation_name(atlas, side)}",
                url=f"{_DESTRIEUX}/{_annotation_name(atlas, side)}",
                bytes=_DESTRIEUX_BYTES,
                sha256=_DESTRIEUX_SHA256[side],
            )
            for side in SIDES
        )
    if isinstance(atlas, Schaefer) and atlas.space == "volume":
        return tuple(
            RawFile(path=f"{FOLDER}/{name}", url=f"{_SCHAEFER}/MNI/{name}") for name in schaefer_volume_names(atlas)
        )
    if isinstance(atlas, Schaefer):
        names = [_annotation_name(atlas, side) for side in SIDES]
        return tuple(
            RawFile(path=f"{FOLDER}/{name}", url=f"{_SCHAEFER}/FreeSurfer5.3/fsaverage5/label/{name}") for name in names
        )
    if isinstance(atlas, Glasser):
        return tuple(RawFile(path=f"{FOLDER}/{_annotation_name(atlas, side)}", url=_GLASSER[side]) for side in SIDES)
    return ()


def annotation_paths(parcellation: Section, raw_folder: Path) -> tuple[Path, Path]:
    """The left and right ``.annot`` of a parcellation on a surface."""
    atlas = _atlas_of(parcellation)
    left, right = getattr(atlas, "left", None), getattr(atlas, "right", None)
    if left is not None and right is not None:
        return Path(left), Path(right)
    paths = [raw_folder / FOLDER / _annotation_name(atlas, side) for side in SIDES]
    return paths[0], paths[1]


def schaefer_volume_names(atlas: Schaefer) -> tuple[str, str]:
    """File names of the label image in MNI space, 2 mm, and of its table of names."""
    stem = f"Schaefer2018_{atlas.n_parcels}Parcels_{atlas.networks}Networks_order"
    return f"{stem}_FSLMNI152_2mm.nii.gz", f"{stem}.txt"


def _atlas_of(parcellation: Section) -> Section:
    return parcellation.atlas if isinstance(parcellation, Vertices) else parcellation


def _annotation_name(atlas: Section, side: str) -> str:
    initial = INITIAL[side]
    if isinstance(atlas, Schaefer):
        return f"{initial}.Schaefer2018_{atlas.n_parcels}Parcels_{atlas.networks}Networks_order.annot"
    return f"{initial}.HCPMMP1.annot" if isinstance(atlas, Glasser) else f"{initial}.aparc.a2009s.annot"
