"""What runs in an interpreter that has thingsvision: its extraction and a bare loop of the same network in turn.

``PYTHON thingsvision_side.py INPUTS.npy WEIGHTS.safetensors ARCHITECTURE_FOLDER BATCH ROUNDS THREADS MODULE …``
prints one line of JSON: the versions and the seconds of each round. It imports nothing of layermap.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from typing import Any


def main(
    inputs: str, weights: str, architecture: str, batch: int, n_rounds: int, threads: int, modules: list[str]
) -> dict[str, Any]:
    sys.path.insert(0, architecture)
    import numpy as np
    import thingsvision
    import torch
    from efficientnet_lite_pytorch import EfficientNet
    from safetensors.torch import load_file
    from thingsvision import get_extractor_from_model

    torch.set_num_threads(threads)
    network: Any = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(load_file(weights))
    network.eval()
    batches = list(torch.from_numpy(np.load(inputs)).split(batch))
    extractor = get_extractor_from_model(model=network, device="cpu", backend="pt")

    def bare() -> None:
        with torch.inference_mode():
            for one in batches:
                network(one)

    def theirs() -> None:
        with tempfile.TemporaryDirectory() as folder:
            extractor.extract_features(
                batches=batches, module_names=modules, flatten_acts=True, output_type="ndarray", output_dir=folder
            )

    times: dict[str, list[float]] = {"bare": [], "thingsvision": []}
    loops = {"bare": bare, "thingsvision": theirs}
    bare()
    for number in range(n_rounds):
        for name in list(loops)[:: 1 if number % 2 else -1]:
            start = time.perf_counter()
            loops[name]()
            times[name].append(time.perf_counter() - start)
    versions = {"thingsvision": thingsvision.__version__, "torch": torch.__version__}
    return {"versions": versions, **times}


if __name__ == "__main__":
    files, numbers, modules = sys.argv[1:4], [int(value) for value in sys.argv[4:7]], sys.argv[7:]
    with contextlib.redirect_stdout(sys.stderr):  # thingsvision prints
        found = main(files[0], files[1], files[2], numbers[0], numbers[1], numbers[2], modules)
    print(json.dumps(found))
