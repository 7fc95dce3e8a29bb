"""A movie of pans and zooms over photographs, grey like the movies of the Allen Brain Observatory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PHOTOGRAPHS = ("astronaut", "camera", "chelsea", "coffee", "rocket")
"""Bundled with scikit-image; `pipeline.models.calibration` uses none of them."""
SHAPE_PX = (64, 128)
"""Height and width: the 1:2 field of the Allen movies (304 × 608) at about a fifth of their size."""
FRAMES_PER_SHOT = 2
ZOOM = (0.2, 0.9)  # part of the largest field that fits into the photograph
DRIFT = 0.6  # largest change within a shot: of log zoom, and of the centre in parts of its range
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


def render_movie(n_frames: int, seed: int) -> np.ndarray:
    """Frames (n_frames, 64, 128) uint8.

    A shot of two frames pans and zooms over one photograph, the next shot shows another one at another place
    and scale: 300 frames hold 150 scenes, of which an encoding model learns on some and is tested on others.
    """
    import numpy as np
    import skimage.data

    generator = np.random.default_rng(seed)
    photographs = [_luminance(getattr(skimage.data, name)()) for name in PHOTOGRAPHS]
    n_shots = -(-n_frames // FRAMES_PER_SHOT)
    rounds = -(-n_shots // len(photographs))
    order = np.concatenate([generator.permutation(len(photographs)) for _ in range(rounds)])[:n_shots]
    frames = [frame for choice in order for frame in _shot(photographs[choice], generator)]
    return np.stack(frames[:n_frames])


def _luminance(photograph: np.ndarray) -> np.ndarray:
    import numpy as np

    grey = photograph if photograph.ndim == 2 else photograph[..., :3] @ np.asarray(LUMINANCE)
    return np.asarray(grey, np.float64)


def _shot(photograph: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """One pan and zoom, mirrored in half of the shots."""
    import numpy as np
    from skimage.transform import resize

    height, width = photograph.shape
    aspect = SHAPE_PX[1] / SHAPE_PX[0]
    largest = min(height, width / aspect)
    zoom = np.exp(generator.uniform(*np.log(ZOOM)))
    end_zoom = np.clip(zoom * np.exp(generator.uniform(-DRIFT, DRIFT)), *ZOOM)
    centre = generator.uniform(0, 1, 2)
    end_centre = np.clip(centre + generator.uniform(-DRIFT, DRIFT, 2), 0, 1)
    mirrored = generator.random() < 0.5
    frames = []
    for progress in np.linspace(0, 1, FRAMES_PER_SHOT):
        crop_height = largest * (zoom + progress * (end_zoom - zoom))
        crop_width = crop_height * aspect
        at = centre + progress * (end_centre - centre)
        top, left = int(at[0] * (height - crop_height)), int(at[1] * (width - crop_width))
        crop = photograph[top : top + int(crop_height), left : left + int(crop_width)]
        crop = crop[:, ::-1] if mirrored else crop
        shrunk = resize(crop, SHAPE_PX, order=1, anti_aliasing=True)
        frames.append(np.clip(np.round(shrunk), 0, 255).astype(np.uint8))
    return frames
