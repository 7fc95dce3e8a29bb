"""The number of samples in a pass: a power of two that the free memory decides, and no more than helps."""

import numpy as np
import pytest
import torch
import xarray as xr

from pipeline.activations.batch_size import (
    CPU_BUDGET_BYTES,
    CPU_SHARE,
    GPU_SHARE,
    LARGEST,
    LIVE_TENSORS,
    budget_bytes,
    choose_batch_size,
    free_memory_bytes,
    trial_pass,
)
from pipeline.models.shown.present_audio import Waveforms, Windows
from pipeline.models.torch.hooked_network import HookedNetwork
from pipeline.models.torch.hooks import Tap
from tests.activations.own_study import SIDE, own_network, picture_set, random_pictures

STEM_BYTES = 4 * 4 * (SIDE // 2) ** 2
"""Of one picture: 4 features of 8 × 8 positions, float32; every other module's output is as large or smaller."""


@pytest.fixture
def network(lab):
    return own_network(lab)


@pytest.fixture
def pictures():
    return picture_set(random_pictures(5))


@pytest.mark.parametrize("samples", [1, 1.99, 2, 3, 8, 15.9, 16, 31, 32, 1000])
def test_largest_power_of_two_within_budget_and_cap(network, pictures, samples):
    budget = int(samples * LIVE_TENSORS * STEM_BYTES)
    expected = min(LARGEST["cpu"], 2 ** int(np.log2(samples)))
    assert choose_batch_size(network, pictures, budget) == expected


def test_a_sample_that_does_not_fit_is_tried_alone(network, pictures):
    assert choose_batch_size(network, pictures, 0) == 1


def test_without_a_budget_it_follows_the_free_memory(network, pictures):
    assert 0 < budget_bytes(torch.device("cpu")) <= CPU_BUDGET_BYTES
    expected = choose_batch_size(network, pictures, budget_bytes(torch.device("cpu")))
    assert choose_batch_size(network, pictures) == expected


def test_free_memory_is_what_the_system_reports():
    psutil = pytest.importorskip("psutil")
    assert free_memory_bytes() <= 1.1 * psutil.virtual_memory().available


def test_hooks_of_the_trial_are_gone(network, pictures):
    choose_batch_size(network, pictures)
    assert all(not module._forward_hooks for module in network.module.modules())


def sound_network():
    module = torch.nn.Sequential(torch.nn.Unflatten(1, (1, -1)), torch.nn.Conv1d(1, 4, 8, stride=4))
    windows = Windows(1000, window_s=8.0, stride_s=1.0, shortest_s=0.1)
    presenter = Waveforms("heard", windows, standardise=False, argument="")
    return HookedNetwork("heard", module, {"conv": Tap("1")}, presenter, torch.device("cpu"))


def sounds(*seconds):
    clips = np.zeros((len(seconds), 1000 * max(seconds)), np.float32)
    attrs = {"modality": "audio", "name": "sounds", "sampling_rate_hz": 1000.0}
    sizes = {"n_samples": ("clip", [1000 * one for one in seconds])}
    items = {"item": ("clip", [f"sound{number}" for number in range(len(seconds))])}
    return xr.Dataset({"clips": (("clip", "sample"), clips), **sizes}, items, attrs)


@pytest.mark.parametrize(("seconds", "longest"), [((20,), 8), ((3,), 3), ((1, 5, 2), 5), ((6, 1), 6)])
def test_the_trial_is_the_longest_window_or_clip(seconds, longest):
    network = sound_network()
    trial = trial_pass(network, sounds(*seconds))
    assert tuple(trial.inputs.shape) == (1, 1000 * longest)
    largest = 4 * max(1000 * longest, 4 * ((1000 * longest - 8) // 4 + 1))
    assert choose_batch_size(network, sounds(*seconds), LIVE_TENSORS * largest * 4) == 4
    assert choose_batch_size(network, sounds(*seconds), LIVE_TENSORS * largest * 4 - 1) == 2


def test_nothing_to_show_is_a_batch_of_one(network):
    assert choose_batch_size(network, picture_set(random_pictures(5)).isel(image=slice(0))) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: the budget is a share of its free memory")
def test_a_gpu_has_a_budget_and_a_cap_of_its_own(lab, pictures):
    device = torch.device("cuda")
    free, _ = torch.cuda.mem_get_info(device)
    assert budget_bytes(device) == pytest.approx(GPU_SHARE * free, rel=0.05)
    on_cpu = own_network(lab)
    network = HookedNetwork("own", on_cpu.module, on_cpu.taps, on_cpu.presenter, device)
    assert choose_batch_size(network, pictures) == LARGEST["cuda"]


def files_of(root, available_kb=None, limit=None, used=None):
    """What Linux says of its memory, below another root."""
    (root / "proc").mkdir()
    (root / "sys/fs/cgroup").mkdir(parents=True)
    if available_kb is not None:
        (root / "proc/meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable: {available_kb} kB\n")
    if limit is not None:
        (root / "sys/fs/cgroup/memory.max").write_text(f"{limit}\n")
        (root / "sys/fs/cgroup/memory.current").write_text(f"{used}\n")
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"available_kb": 4000}, 4_096_000),
        ({"available_kb": 4000, "limit": "max", "used": 7}, 4_096_000),
        ({"available_kb": 4000, "limit": 3_000_000, "used": 1_000_000}, 2_000_000),
        ({"available_kb": 4000, "limit": 9_000_000, "used": 1_000_000}, 4_096_000),
        ({"available_kb": 4000, "limit": 1_000_000, "used": 2_000_000}, 0),
        ({}, round(CPU_BUDGET_BYTES / CPU_SHARE)),  # as on macOS
    ],
)
def test_free_memory_is_that_of_the_system_within_the_limit_of_the_container(tmp_path, files, expected):
    assert free_memory_bytes(files_of(tmp_path, **files)) == expected
