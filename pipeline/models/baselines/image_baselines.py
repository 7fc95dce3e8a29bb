"""What an image shows before any network: its pixels, and the energy of oriented edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.models.entry import ModelEntry, Twin, evenly_deep

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

LARGEST_PX = 64
WAVELENGTHS_PX = (4, 8, 16, 32)
N_ORIENTATIONS = 4
GRID = 8
SD_PER_WAVELENGTH = 0.56
"""SD of the Gaussian envelope per wavelength, a bandwidth of one octave."""


class ImageBaseline:
    """Shows batches of pictures to a function; one layer."""

    def __init__(self, layer: str, describe: Callable[[np.ndarray], np.ndarray]) -> None:
        self._layer = layer
        self._describe = describe

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        from pipeline.models.shown.image_stimuli import picture_clock

        return picture_clock(stimulus)

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        from pipeline.models.shown.image_stimuli import picture_batches

        for start, pictures in picture_batches(stimulus, batch_size):
            yield start, {self._layer: self._describe(pictures)}


def pixels(pictures: np.ndarray) -> np.ndarray:
    """Pixel values 0–1 of pictures (n, y, x, colour): (n, colour, y, x) float32.

    Pictures of up to 64 pixels a side are taken as given; of larger ones the longer side becomes 64.
    """
    from pipeline.models.shown.image_stimuli import resized

    height, width = pictures.shape[1:3]
    factor = min(1.0, LARGEST_PX / max(height, width))
    small: np.ndarray = resized(pictures, max(1, round(height * factor)), max(1, round(width * factor))).numpy()
    return small / 255


def gabor_energy(pictures: np.ndarray) -> np.ndarray:
    """Energy of quadrature Gabor pairs on a coarse grid: (n, scale · orientation, 8, 8) float32.

    Luminance 0–1 of the whole picture at 64×64, less its mean, mirrored at the borders. A pair's energy is the
    root of the summed squares of its even and odd response; the grid averages it over 8×8 pixels.

    References
    ----------
    Adelson & Bergen 1985, JOSA A 2:284; Kay et al. 2008, Nature 452:352.
    """
    import numpy as np

    cell = LARGEST_PX // GRID
    maps = [
        np.abs(response).reshape(len(pictures), GRID, cell, GRID, cell).mean(axis=(2, 4))
        for response in gabor_responses(pictures)
    ]
    return np.stack(maps, axis=1).astype(np.float32)


def gabor_responses(pictures: np.ndarray) -> Iterator[np.ndarray]:
    """Complex responses (n, 64, 64) of one quadrature pair after another, scale by scale, orientation by orientation.

    Luminance 0–1 of the whole picture at 64×64, less its mean, mirrored at the borders.
    """
    import numpy as np

    from pipeline.models.shown.image_stimuli import luminance, resized

    field = resized(luminance(pictures), LARGEST_PX, LARGEST_PX).numpy()[:, 0].astype(np.float64) / 255
    field -= field.mean(axis=(1, 2), keepdims=True)
    margin = LARGEST_PX // 2
    padded = np.pad(field, ((0, 0), (margin, margin), (margin, margin)), mode="symmetric")
    spectrum = np.fft.fft2(padded)
    for transfer in _gabor_transfers(padded.shape[1]):
        yield np.fft.ifft2(spectrum * transfer)[:, margin:-margin, margin:-margin]


def _gabor_transfers(size_px: int) -> list[np.ndarray]:
    """Transfer functions of the filters: a Gaussian on one side of the frequency plane, so that real and imaginary
    part of the response are the quadrature pair; scales outside, orientations inside."""
    import numpy as np

    frequency = np.fft.fftfreq(size_px)
    vertical, horizontal = frequency[:, None], frequency[None, :]
    transfers = []
    for wavelength in WAVELENGTHS_PX:
        width = 1 / (2 * np.pi * SD_PER_WAVELENGTH * wavelength)
        for orientation in np.arange(N_ORIENTATIONS) * np.pi / N_ORIENTATIONS:
            along = horizontal - np.cos(orientation) / wavelength
            across = vertical - np.sin(orientation) / wavelength
            transfers.append(2 * np.exp(-(along**2 + across**2) / (2 * width**2)))
    return transfers


def load_pixels(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> ImageBaseline:
    """The pixel baseline; it has no weights and runs on the CPU."""
    return ImageBaseline("pixels", pixels)


def load_gabor_energy(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> ImageBaseline:
    """The Gabor-energy baseline; it has no weights and runs on the CPU."""
    return ImageBaseline("energy", gabor_energy)


PIXELS = ModelEntry(
    name="pixels",
    modalities=("movie", "images"),
    objective="baseline",
    factory="pipeline.models.baselines.image_baselines:load_pixels",
    layers=evenly_deep(["pixels"]),
    title="Pixels",
    citation="—",
    licence="BSD-3-Clause (this repository)",
    preprocessing={"size": f"as given; a longer side beyond {LARGEST_PX} px is shrunk to it", "look_ahead_s": 0.0},
)
GABOR_ENERGY = ModelEntry(
    name="gabor-energy",
    modalities=("movie", "images"),
    objective="baseline",
    factory="pipeline.models.baselines.image_baselines:load_gabor_energy",
    layers=evenly_deep(["energy"]),
    title="Gabor energy",
    citation="Adelson & Bergen 1985, JOSA A; Kay, Naselaris, Prenger & Gallant 2008, Nature",
    licence="BSD-3-Clause (this repository)",
    preprocessing={
        "size_px": LARGEST_PX,
        "wavelengths_px": list(WAVELENGTHS_PX),
        "orientations": N_ORIENTATIONS,
        "grid": GRID,
        "look_ahead_s": 0.0,
    },
)
