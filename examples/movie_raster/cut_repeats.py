"""Cuts the ten showings of natural_movie_one out of observatory_raster.mat and writes them as files for layermap.

The raster (AllenBrainAtlas/SWDB-2016, Projects/Cobra/Pop_Coupling) holds inferred spikes of 242 cells of mouse VISp,
layer 2/3, imaged about 30 times a second, and no list of stimuli. The movie's onsets were inferred from the
responses themselves: the first showing begins with frame 38,755, and the next ones follow after 904.8 frames each,
good to a few frames. The movie has 900 frames and lasts 30 s.
"""

import argparse
from pathlib import Path

import h5py
import numpy as np

from pipeline.core.errors import LayermapError
from pipeline.formats.array_files import check_hdf5

FIRST_FRAME = 38_755
PERIOD_FRAMES = 904.8
N_REPEATS = 10
N_MOVIE_FRAMES = 900


def cut(raster, sd_frames=0.0, frames_per_bin=1):
    """(cell, frame) → (repeat, bin, cell): each repeat on the movie's own frames, smoothed, averaged in bins."""
    shown = np.arange(N_MOVIE_FRAMES) * PERIOD_FRAMES / N_MOVIE_FRAMES
    starts = FIRST_FRAME + PERIOD_FRAMES * np.arange(N_REPEATS)
    imaged = np.round(starts[:, None] + shown).astype(int)
    if raster.ndim != 2 or raster.shape[1] <= imaged.max():
        raise SystemExit(f"raster has shape {raster.shape}, expected cells × more than {imaged.max()} frames")
    repeats = np.stack([smooth(raster[:, frames].T, sd_frames) for frames in imaged])
    n_bins = N_MOVIE_FRAMES // frames_per_bin
    used = repeats[:, : n_bins * frames_per_bin]
    return used.reshape(N_REPEATS, n_bins, frames_per_bin, -1).mean(axis=2)


def smooth(repeat, sd_frames):
    """A repeat (frame, cell) averaged under a Gaussian; at the ends over what is there, so that repeats do not mix."""
    if sd_frames == 0:
        return repeat
    frames = np.arange(len(repeat))
    kernel = np.exp(-(((frames[:, None] - frames) / sd_frames) ** 2) / 2)
    return (kernel / kernel.sum(axis=1, keepdims=True)) @ repeat


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raster", type=Path, help="observatory_raster.mat")
    parser.add_argument("--sd-frames", type=float, default=3.0, help="SD of the smoothing in frames; 0 for none")
    parser.add_argument("--frames-per-bin", type=int, default=1, help="frames averaged into one sample")
    parser.add_argument("--into", type=Path, default=Path(), help="folder to write to (default: here)")
    options = parser.parse_args()
    try:
        check_hdf5(options.raster, "use another file")
    except LayermapError as error:
        raise SystemExit(str(error)) from error
    with h5py.File(options.raster) as file:
        responses = cut(file["raster"][:], options.sd_frames, options.frames_per_bin)
    np.save(options.into / "responses.npy", responses.astype(np.float32))
    rows = [f"VISp,501574836,{number},275" for number in range(1, responses.shape[2] + 1)]
    (options.into / "regions.csv").write_text("\n".join(["region,subject,cell_id,depth_um", *rows]) + "\n")
    # Stands in for a movie that is not at hand: only baselines that do not look at pictures may be run on it.
    np.save(options.into / "movie.npy", np.full((N_MOVIE_FRAMES, 8, 8), 128, np.uint8))


if __name__ == "__main__":
    main()
