"""The cortical layer at a place of the Allen Common Coordinate Framework (CCFv3).

The annotation volume says which structure each voxel of 25 µm belongs to; structures of visual cortex are divided into
layers, which their acronyms end with: VISp2/3, VISp6a. Files and addresses are those of allensdk's
``ReferenceSpaceCache`` with reference space ``annotation/ccf_2017`` and of its structure graph 1 (adult mouse).

References
----------
Wang et al. 2020, Cell 181:936–953.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.catalogue import RawFile
from pipeline.core.errors import BrokenArtifact
from pipeline.core.limits import check_backed, check_room
from pipeline.fetch.http.lists import sizes_of
from pipeline.formats.documents import read_object
from pipeline.recordings.allen.queries import API_URL
from pipeline.recordings.verified import FETCH_AGAIN, verified

if TYPE_CHECKING:
    import numpy as np

VOXEL_UM = 25
ANNOTATION = f"annotation/ccf_2017/annotation_{VOXEL_UM}.nrrd"
STRUCTURES = "structure_graph_1.json"
ADDRESSES = {
    ANNOTATION: f"https://download.alleninstitute.org/informatics-archive/current-release/mouse_ccf/{ANNOTATION}",
    STRUCTURES: f"{API_URL}/api/v2/structure_graph_download/1.json",
}
_LAYERED = re.compile(r"^VIS[a-z]*(?P<layer>1|2/3|4|5|6)[ab]?$")


def annotation_files(mirror: str | None) -> list[RawFile]:
    """What to fetch so that `layers_at` can say something."""
    sizes = sizes_of(list(ADDRESSES.values()), mirror)
    return [RawFile(path=path, url=url, bytes=sizes[url]) for path, url in ADDRESSES.items()]


def layers_at(ccf_um: np.ndarray, raw_folder: Path) -> np.ndarray:
    """Layers at places: ``L1``, ``L2/3``, ``L4``, ``L5``, ``L6``; empty outside layered visual cortex.

    A place takes the layer of its voxel, whichever visual area that voxel is assigned to.

    Parameters
    ----------
    ccf_um : (n, 3) anterior–posterior, dorsal–ventral and left–right, in µm; NaN where it is not known

    Raises
    ------
    BrokenArtifact
        A file is missing, altered or not what it should be.
    """
    import numpy as np

    structure = _structures_at(ccf_um, raw_folder / ANNOTATION)
    acronyms = read_acronyms(raw_folder / STRUCTURES)
    unknown = [int(number) for number in np.unique(structure[structure > 0]) if int(number) not in acronyms]
    if unknown:
        raise BrokenArtifact(
            f"{raw_folder / ANNOTATION} has structure {unknown[0]}, which {raw_folder / STRUCTURES} does not list; "
            f"{FETCH_AGAIN}"
        )
    return np.array([layer_of(acronyms.get(int(number), "")) for number in structure], dtype=str)


def layer_of(acronym: str) -> str:
    """``VISp2/3`` → ``L2/3``; empty for a structure that is no layer of visual cortex."""
    found = _LAYERED.match(acronym)
    return f"L{found['layer']}" if found else ""


def read_acronyms(path: Path) -> dict[int, str]:
    """Structure number → acronym, from the nested structure graph."""
    with verified(path):
        try:
            graph = read_object(path, FETCH_AGAIN)
            acronyms, waiting = {}, list(graph["msg"])
            while waiting:
                structure = waiting.pop()
                acronyms[int(structure["id"])] = str(structure["acronym"])
                waiting.extend(structure["children"])
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenArtifact(
                f"{path} cannot be read as a structure graph ({type(error).__name__}: {error}); {FETCH_AGAIN}"
            ) from error
    return acronyms


def _check_nrrd(path: Path) -> None:
    """Refuse an NRRD file whose values lie in another file, or that states more than it holds."""
    import SimpleITK

    with open(path, "rb") as stream:
        header = stream.read(1 << 16).partition(b"\n\n")[0].decode("latin-1").replace(" ", "").lower()
    if re.search(r"^datafile:", header, re.MULTILINE):
        raise BrokenArtifact(f"{path} has its values in another file; {FETCH_AGAIN}")
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    stated = math.prod(reader.GetSize()) * 8 * reader.GetNumberOfComponents()
    check_backed(path, stated // 8, path.stat().st_size, FETCH_AGAIN)
    check_room(path, stated, FETCH_AGAIN)


def _structures_at(ccf_um: np.ndarray, path: Path) -> np.ndarray:
    """Structure number (n,) of the voxel of each place; 0 outside the volume and where the place is not known.

    The file's first axis runs from anterior to posterior, its second from dorsal to ventral, its third from left to
    right; SimpleITK's arrays have them the other way round.
    """
    import numpy as np
    import SimpleITK

    known = np.isfinite(ccf_um).all(axis=1)
    voxel = np.floor(np.where(known[:, None], ccf_um, -1.0) / VOXEL_UM).astype(np.int64)
    with verified(path):
        try:
            _check_nrrd(path)
            image = SimpleITK.ReadImage(str(path))
        except RuntimeError as error:
            reason = str(error).strip().rpartition("\n")[2]
            raise BrokenArtifact(f"{path} cannot be read as NRRD ({reason}); {FETCH_AGAIN}") from error
        if image.GetDimension() != 3 or any(abs(step - VOXEL_UM) > 1e-3 for step in image.GetSpacing()):
            raise BrokenArtifact(
                f"{path} has voxels of {image.GetSpacing()}, expected {VOXEL_UM} µm in three directions; {FETCH_AGAIN}"
            )
        annotation = SimpleITK.GetArrayViewFromImage(image).T
        within = ((voxel >= 0) & (voxel < annotation.shape)).all(axis=1)
        structure = np.zeros(len(voxel), np.int64)
        structure[within] = annotation[tuple(voxel[within].T)]
    return structure
