"""Makes what stands for your own files: 120 pictures, responses of 24 cells to them, and the cells' regions.

Cells of region `early` follow the network's first block, cells of region `late` its last one, with noise.
"""

from pathlib import Path

import my_net
import numpy as np
import skimage.data
import torch
from PIL import Image

N_PICTURES, N_CELLS, SIDE_PX = 120, 12, 64
generator = np.random.default_rng(0)
photographs = [getattr(skimage.data, name)() for name in ("astronaut", "coffee", "chelsea", "rocket")]
Path("images").mkdir(exist_ok=True)
pictures = []
for number in range(N_PICTURES):
    photograph = photographs[number % len(photographs)]
    top, left = (generator.integers(size - 2 * SIDE_PX) for size in photograph.shape[:2])
    crop = photograph[top : top + 2 * SIDE_PX : 2, left : left + 2 * SIDE_PX : 2]
    Image.fromarray(crop).save(f"images/picture_{number:03d}.png")
    pictures.append(crop)

values = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255
mean, sd = (torch.tensor(row).reshape(1, 3, 1, 1) for row in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
state, states = (values - mean) / sd, []
with torch.no_grad():
    for block in my_net.build(8).blocks:
        state = block(state)["state"]
        states.append(state.mean(dim=(2, 3)).numpy())

responses, regions = [], []
for region, features in (("early", states[0]), ("late", states[-1])):
    z = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
    signal = z @ generator.standard_normal((z.shape[1], N_CELLS))
    signal /= signal.std(axis=0)
    responses.append(signal + 0.5 * generator.standard_normal((4, N_PICTURES, N_CELLS)))
    regions += [region] * N_CELLS
np.save("my.npy", np.concatenate(responses, axis=2).astype(np.float32))
Path("regions.csv").write_text("region\n" + "\n".join(regions) + "\n", encoding="utf-8")
