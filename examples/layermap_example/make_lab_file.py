"""Makes lab.mat: 100 grey pictures, and 20 cells that follow oriented edges in them, with noise."""

import numpy as np
import skimage.data
import torch
from layermap_example.network import OPTICS, build_module
from scipy.io import savemat

generator = np.random.default_rng(0)
camera = skimage.data.camera()
corners = generator.integers(0, camera.shape[0] - 48, size=(100, 2))
pictures = np.stack([camera[top : top + 48, left : left + 48] for top, left in corners])
with torch.no_grad():
    energy = build_module()(OPTICS(pictures[..., None])).flatten(1).numpy()
z = (energy - energy.mean(axis=0)) / energy.std(axis=0)
signal = z @ generator.standard_normal((z.shape[1], 20))
responses = signal / signal.std(axis=0) + 0.3 * generator.standard_normal(signal.shape)
savemat("lab.mat", {"pictures": pictures, "responses": responses, "area": ["V1"] * 10 + ["V2"] * 10})
