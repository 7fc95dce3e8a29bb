"""Memory of extraction: a batch's, whatever the number of pictures and of layers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.activations.own_study import OWN, ROOT, Lab, picture_set, random_pictures

pytestmark = pytest.mark.study
EXTRACT = """
import sys
from pathlib import Path
from pipeline.activations.stage import extract_activations
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.study.load import load_study
from pipeline.study.plan import plan_study

study, stimulus, output = sys.argv[1:]
model = plan_study(load_study(study)).analyses[0].models[0]
extract_activations(
    stimulus_path=Path(stimulus), output=Path(output), model="own", entry=model.model.entry, twin=None, layers=None,
    reduction=model.choice.reduction, weights_folder=None, device="cpu", batch_size=32,
    attrs=standard_attrs("activations", "test", "c", "i"),
)
# not ru_maxrss, which a process inherits from the one that started it
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print(1024 * int(peak.split()[1]))
"""
# Free memory goes back to the system at once: what is measured is in use, and not what the allocator keeps.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
BATCH = 32


def peak_bytes(lab: Lab, n_pictures: int) -> int:
    """Peak resident memory of a process that extracts so many pictures."""
    stimulus = lab.work / f"{n_pictures}.zarr"
    if not stimulus.exists():
        picture_set(random_pictures(n_pictures), stimulus)
    given = [str(lab.folder / "mine.yaml"), str(stimulus), str(lab.work / "out.zarr")]
    result = subprocess.run(
        [sys.executable, "-c", EXTRACT, *given], capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return int(result.stdout)


def study(path: Path, layers: list[str], size_px: int, reduction: dict[str, object]) -> Lab:
    path.mkdir()
    lab = Lab(path, n_pictures=1)
    own = {**OWN, "arguments": {"width": 8, "depth": 12}, "layers": layers, "size_px": size_px}
    lab.write({"own": own}, {"name": "own", "reduction": reduction})
    return lab


def test_ten_times_the_pictures_take_no_more_memory(tmp_path):
    lab = study(tmp_path / "lab", ["stem", "blocks.*"], 64, {"kind": "sparse_projection", "n_features": 1000})
    of_few = [peak_bytes(lab, 200), peak_bytes(lab, 200)]
    noise = abs(of_few[0] - of_few[1])
    grown = peak_bytes(lab, 2000) - max(of_few)
    kept = 1800 * 13 * 1000 * 4  # the features of all layers and of all further pictures
    print(f"200: {of_few[0] / 1e6:.0f} MB, noise {noise / 1e6:.1f} MB, 2000: {grown / 1e6:+.1f} MB")
    assert grown < 0.05 * max(of_few) + noise < 0.5 * kept


def test_hooking_more_layers_takes_no_more_memory(tmp_path):
    mean = {"kind": "spatial_mean"}
    one = study(tmp_path / "one", ["blocks.0"], 256, mean)
    twelve = study(tmp_path / "twelve", ["blocks.*"], 256, mean)
    of_one = [peak_bytes(one, 2 * BATCH), peak_bytes(one, 2 * BATCH)]
    noise = abs(of_one[0] - of_one[1])
    grown = peak_bytes(twelve, 2 * BATCH) - max(of_one)
    kept = 11 * BATCH * 8 * 128 * 128 * 4  # the further layers of one batch
    print(f"1 layer: {of_one[0] / 1e6:.0f} MB, noise {noise / 1e6:.1f} MB, 12 layers: {grown / 1e6:+.1f} MB")
    assert grown < 0.05 * max(of_one) + noise < 0.5 * kept
