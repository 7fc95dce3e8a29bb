"""118 natural scenes in six areas of mouse visual cortex, as similarity matrices (Allen Brain Observatory, 2-photon).

Each target is one area and cortical layer; its matrix holds the Pearson correlation between the mean
responses of the reliable cells, pooled over animals, to two scenes (Conwell et al. 2021). Its ceiling is the
split-half reliability over **trials** of those pooled cells: it says nothing about other animals.
The scenes are there as 31 × 31 pixels only, without fine detail.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.artifacts.catalogue import Catalogue, Group, Run, StimulusEntry
from pipeline.core.errors import BrokenArtifact
from pipeline.formats.tables import read_table
from pipeline.recordings.entry import DatasetEntry, DatasetOptions
from pipeline.recordings.published.pinned_files import FILES, pinned_files

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

KIND = "allen_scenes"
STIMULUS = "scenes"
RECORDING = "areas"
MATRICES_FILE = "rdms_reliable.pkl"
CEILINGS_FILE = "rdms_noise_ceiling.csv"
IMAGES_FILE = "all_input_scenes_118_961.npy"
N_SCENES = 118
SIDE_PX = 31
AREAS = ("VISp", "VISl", "VISrl", "VISal", "VISpm", "VISam")
LAYERS = {"layer23": "L2/3", "layer4": "L4", "layer5": "L5", "layer6": "L6"}
MEASURED = {area: tuple(LAYERS)[: 4 if area in ("VISp", "VISl", "VISpm") else 3] for area in AREAS}
# too few cells: correlations from -1 to 1 with SD .58 (others .08–.30), split-half reliability .13
DEGENERATE = ("VISrl", "layer5")
REMEDY = "delete it and run: snakemake fetch --forcerun fetch_recordings"


class AllenScenesOptions(DatasetOptions):
    """The whole dataset is one group, so ``limit`` changes nothing."""

    kind: Literal["allen_scenes"] = Field("allen_scenes", description="118 natural scenes, mouse visual areas × layers")


def catalogue(options: AllenScenesOptions, key: str, mirror: str | None = None) -> Catalogue:
    """One group, one geometry, one stimulus; files from the pinned list."""
    return Catalogue(
        dataset=KIND,
        key=key,
        groups=(Group(name=RECORDING, runs=(Run(stimulus=STIMULUS, recording=RECORDING),), subjects=("pooled",)),),
        recordings=(RECORDING,),
        stimuli=(StimulusEntry(name=STIMULUS, modality="images"),),
        files=pinned_files(KIND),
    )


def scene_items() -> list[str]:
    """``scene-000`` … ``scene-117``, the Allen Institute's numbers."""
    return [f"scene-{number:03d}" for number in range(N_SCENES)]


def prepare_stimulus(name: str, raw_folder: Path, options: AllenScenesOptions) -> xr.Dataset:
    """Grey images ``(118, 31, 31, 1)`` uint8, unrolled row by row in the file."""
    import numpy as np
    import xarray as xr

    path = raw_folder / IMAGES_FILE
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; fetch it with: snakemake fetch --forcerun fetch_recordings")
    try:
        rolled = np.load(path, mmap_mode="r", allow_pickle=False)  # a shape that the file cannot hold is refused
    except (ValueError, EOFError) as error:
        raise BrokenArtifact(f"{path} cannot be read as .npy ({error}); {REMEDY}") from error
    if rolled.shape != (N_SCENES, SIDE_PX**2):
        raise BrokenArtifact(f"{path} has shape {rolled.shape}, expected ({N_SCENES}, {SIDE_PX**2}); {REMEDY}")
    pixels = rolled.astype(np.uint8)
    if not np.array_equal(pixels, rolled):
        raise BrokenArtifact(f"{path} holds values that are no grey levels from 0 to 255; {REMEDY}")
    return xr.Dataset(
        {"images": (("image", "y", "x", "colour"), pixels.reshape(N_SCENES, SIDE_PX, SIDE_PX, 1))},
        coords={"item": ("image", np.asarray(scene_items()))},
        attrs={"modality": "images", "name": name},
    )


def _read_matrices(path: Path) -> dict[tuple[str, str], np.ndarray]:
    """(area, layer) → (118, 118) float64; the 119th row and column, the blank screen, are dropped."""
    import numpy as np

    from pipeline.formats.unpickle import SIMILARITY_MATRICES, load_restricted

    loaded: Any = load_restricted(path, SIMILARITY_MATRICES)
    matrices = {}
    for area, layers in MEASURED.items():
        for layer in layers:
            matrix = loaded.get(area, {}).get(layer) if isinstance(loaded, dict) else None
            if getattr(matrix, "shape", None) != (N_SCENES + 1, N_SCENES + 1):
                raise BrokenArtifact(
                    f"{path}: the matrix of {area} {layer} has shape {getattr(matrix, 'shape', None)}, "
                    f"expected ({N_SCENES + 1}, {N_SCENES + 1}); {REMEDY}"
                )
            matrices[area, layer] = np.asarray(matrix, dtype=np.float64)[:N_SCENES, :N_SCENES]
    return matrices


def _read_ceilings(path: Path) -> dict[tuple[str, str], float]:
    """(area, layer) → split-half reliability over trials, mean over splits."""
    table = read_table(path, remedy=REMEDY)
    places = zip(table.text("area"), table.text("layer"), strict=True)
    ceilings = dict(zip(places, table.numbers("mean"), strict=True))
    for area, layers in MEASURED.items():
        for layer in layers:
            if (area, layer) not in ceilings:
                raise BrokenArtifact(f"{path} has no row for {area} {layer}; {REMEDY}")
    return ceilings


def prepare_recording(name: str, raw_folder: Path, options: AllenScenesOptions) -> xr.Dataset:
    """Geometry: Pearson similarities ``(item, item2, target)`` of 20 area × cortical-layer targets."""
    import numpy as np
    import xarray as xr

    matrices = _read_matrices(raw_folder / MATRICES_FILE)
    ceilings = _read_ceilings(raw_folder / CEILINGS_FILE)
    kept = [key for key in matrices if key != DEGENERATE]
    items = np.asarray(scene_items())
    return xr.Dataset(
        {"similarity": (("item", "item2", "target"), np.stack([matrices[key] for key in kept], axis=-1))},
        coords={
            "item": items,
            "item2": items,
            "target": [f"{area} {LAYERS[layer]}" for area, layer in kept],
            "region": ("target", [area for area, _ in kept]),
            "compartment": ("target", [LAYERS[layer] for _, layer in kept]),
            "subject": ("target", ["pooled"] * len(kept)),
            "ceiling": ("target", [ceilings[key] for key in kept]),
        },
        attrs={
            "similarity": "pearson",
            "ceiling_kind": "split_half_trials",
            "stimulus": STIMULUS,
            "units": "Pearson r",
            "n_subjects": 0,
            "excluded": "VISrl L5: degenerate (too few cells)",
        },
    )


DATASET = DatasetEntry(
    kind=KIND,
    options=AllenScenesOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare_stimulus,
    prepare_recording=prepare_recording,
    title="118 natural scenes, six areas of mouse visual cortex (similarity matrices)",
    citation="de Vries et al. 2020, Nature Neuroscience 23:138–151; matrices: Conwell et al. 2021, "
    "NeurIPS 34:5590–5607 (DeepMouseTrap)",
    licence="none stated for the matrices; data under the Allen Institute's terms of use",
    selection=("kind",),
    lists=(FILES / f"{KIND}.tsv",),
)
