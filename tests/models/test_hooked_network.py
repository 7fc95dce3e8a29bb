"""A torch module shown a stimulus: exact values, any batch size, memory that runs out, half precision, prefetching."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.activations.reduce import mean_over_positions
from pipeline.core.errors import LayermapError, UnknownName
from pipeline.models.shown.present_pictures import Optics, Pictures
from pipeline.models.torch.execution import prefetched
from pipeline.models.torch.hooked_network import HALF_BOUND, HookedNetwork, Pass
from pipeline.models.torch.hooks import Tap

ROOT = Path(__file__).resolve().parents[2]
OPTICS = Optics(16, (0.5,) * 3, (0.25,) * 3)
N_PICTURES = 70


class Small(nn.Module):
    """Convolutions, an activation that overwrites its input, batch statistics, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2)
        self.head = nn.Linear(16, 5)
        self.spare = nn.Linear(16, 5)

    def forward(self, pictures):
        maps = self.relu(self.norm(self.conv1(pictures)))
        return self.head(self.conv2(maps).mul_(2).mean(dim=(2, 3)))


TAPS = {name: Tap(name) for name in ("conv1", "norm", "relu", "conv2", "head")}


def network_of(module, taps=None, **options):
    return HookedNetwork("net", module, taps or TAPS, Pictures(OPTICS), torch.device("cpu"), **options)


@pytest.fixture
def small():
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (N_PICTURES, 16, 16, 3)).astype(np.uint8)


def bare(small, pictures):
    """Every layer by calling module after module, each on copies."""
    with torch.no_grad():
        conv1 = small.conv1(OPTICS(pictures))
        norm = small.norm(conv1)
        relu = torch.relu(norm)
        conv2 = small.conv2(relu)
        return {"conv1": conv1, "norm": norm, "relu": relu, "conv2": conv2, "head": small(OPTICS(pictures))}


def test_values_are_those_of_a_bare_forward_though_modules_overwrite_them(small, pictures, pictures_of, all_layers):
    """norm's output is overwritten by the activation behind it, conv2's by the network itself."""
    found = all_layers(network_of(small), pictures_of(pictures[:7]), 7)
    for name, expected in bare(small, pictures[:7]).items():
        np.testing.assert_array_equal(found[name], expected.numpy(), err_msg=name)
    assert (found["norm"] < 0).any() and not (found["relu"] < 0).any()


def test_what_is_taken_stays_when_it_was_not_copied_by_reduction(small, pictures, pictures_of):
    network = network_of(small)
    (start, features), *_ = network.extract(pictures_of(pictures[:7]), 7, ["norm"], mean_over_positions)
    expected = bare(small, pictures[:7])["norm"].double().mean(dim=(2, 3)).float().numpy()
    assert start == 0 and features["norm"].dtype == np.float32
    np.testing.assert_array_equal(features["norm"], expected)


def test_batch_sizes_agree(small, pictures, pictures_of, all_layers):
    network = network_of(small)
    sizes = {size: all_layers(network, pictures_of(pictures), size) for size in (1, 7, 64)}
    for name, values in sizes[64].items():
        assert values.shape[0] == N_PICTURES
        for size in (1, 7):
            assert np.abs(values - sizes[size][name]).max() < 1e-5 * values.std(), name


def test_only_the_layers_asked_for_are_taken_and_in_that_order(small, pictures, pictures_of):
    network = network_of(small)
    taken = []

    def reduce(layer, values, n_prefix):
        taken.append(layer)
        return mean_over_positions(layer, values, n_prefix)

    ((_, features),) = network.extract(pictures_of(pictures[:4]), 8, ["conv2", "conv1"], reduce)
    assert list(features) == ["conv2", "conv1"]
    assert taken == ["conv1", "conv2"]  # as soon as each exists
    with pytest.raises(UnknownName, match=r"unknown layer of net 'conv3' \(closest: 'conv\d'\)"):
        next(network.extract(pictures_of(pictures[:4]), 8, ["conv3"], reduce))


class Wired(nn.Module):
    """A layer that runs twice, one that never does, and one that gives no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.never, self.shape = nn.Conv2d(3, 3, 1), nn.Identity(), Shape()

    def forward(self, pictures):
        self.shape(pictures)
        return self.twice(self.twice(pictures))


class Shape(nn.Module):
    def forward(self, values):
        return {"height": values.shape[2], "width": values.shape[3]}


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("twice", "layer 'twice' of net: module 'twice' runs more than once in a pass; name a module that runs once"),
        ("never", "layer 'never' of net: module 'never' did not run; name one that does"),
        ("shape", "layer 'shape' of net: its output is a dict with parts height, width, not a tensor"),
    ],
)
def test_a_layer_that_cannot_be_taken_is_one_line(pictures, pictures_of, layer, message):
    network = network_of(Wired(), {layer: Tap(layer)})
    with pytest.raises(LayermapError, match=f"^{message}") as error:
        list(network.batches(pictures_of(pictures[:2]), 2))
    assert "\n" not in str(error.value)


class Flat(nn.Module):
    """For pictures of one size only."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3 * 12 * 12, 4)

    def forward(self, pictures):
        return self.head(pictures.flatten(1))


class Picky(nn.Module):
    def forward(self, pictures):
        assert pictures.shape[1] == 1, "grey\npictures only"


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            Flat(),
            r"net refuses input of shape \(2, 3, 16, 16\) \(mat1 and mat2 shapes cannot be multiplied .*\);",
        ),
        (nn.Conv2d(1, 4, 3), r"net refuses input of shape \(2, 3, 16, 16\) \(Given groups=1, .*\); check size_px"),
        (Picky(), r"net refuses input of shape \(2, 3, 16, 16\) \(grey\); check size_px"),
    ],
)
def test_input_of_the_wrong_size_is_one_line(pictures, pictures_of, module, message):
    with pytest.raises(LayermapError, match=f"^{message}") as error:
        list(network_of(module, {"whole": Tap("")}).batches(pictures_of(pictures[:2]), 2))
    assert "\n" not in str(error.value)


def test_a_network_that_takes_its_input_by_name(small, pictures, pictures_of, all_layers):
    named = HookedNetwork("net", small, TAPS, Pictures(OPTICS, "pictures"), torch.device("cpu"))
    found, expected = (all_layers(one, pictures_of(pictures[:3])) for one in (named, network_of(small)))
    np.testing.assert_array_equal(found["head"], expected["head"])
    other = HookedNetwork("net", small, TAPS, Pictures(OPTICS, "pixel_values"), torch.device("cpu"))
    with pytest.raises(LayermapError, match=r"refuses input of shape pixel_values \(3, 3, 16, 16\) \(.*pixel_values"):
        all_layers(other, pictures_of(pictures[:3]))


LIMITED = """
import json, resource, sys
import numpy as np, torch, xarray as xr
from pathlib import Path
from pipeline.activations.reduce import mean_over_positions
from pipeline.core.errors import LayermapError
from pipeline.models.torch.hooked_network import HookedNetwork
from pipeline.models.torch.hooks import Tap
from pipeline.models.shown.present_pictures import Optics, Pictures

size_px, batch_size, spare_mb, n_free = (int(value) for value in sys.argv[1:5])
torch.manual_seed(0)
torch.set_num_threads(1)
module = torch.nn.Sequential(torch.nn.Conv2d(3, 32, 1), torch.nn.ReLU(), torch.nn.Conv2d(32, 8, 1))
images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype(np.uint8)
stimulus = xr.Dataset(
    {"images": (("image", "y", "x", "colour"), images)},
    {"item": ("image", [str(number) for number in range(64)])},
    {"modality": "images", "name": "pictures"},
)
optics = Optics(size_px, (0.5,) * 3, (0.25,) * 3)
taps = {"first": Tap("0"), "last": Tap("2")}
network = HookedNetwork("net", module, taps, Pictures(optics), torch.device("cpu"))
list(HookedNetwork("net", module, taps, Pictures(Optics(8, (0.5,) * 3, (0.25,) * 3)), torch.device("cpu")).extract(
    stimulus, 2, list(taps), mean_over_positions))  # everything is imported and has run before memory is limited
batches = []
def limit_memory():
    if spare_mb and len(batches) == n_free:
        used = 4096 * int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (used + (spare_mb << 20),) * 2)
limit_memory()
try:
    for batch in network.extract(stimulus, batch_size, list(taps), mean_over_positions):
        batches.append(batch)
        limit_memory()
except LayermapError as error:
    sys.exit(f"LayermapError: {error}")
starts = [start for start, _ in batches]
joined = {name: np.concatenate([features[name] for _, features in batches]) for name in taps}
np.savez(sys.argv[5], starts=starts, **joined)
"""


def run_limited(size_px, batch_size, spare_mb, output, n_free=0):
    """Extraction in a process that has so much memory to spare after its first ``n_free`` batches; 0 sets no limit."""
    arguments = [str(value) for value in (size_px, batch_size, spare_mb, n_free, output)]
    return subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )


@pytest.mark.study
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory as Linux does")
def test_out_of_memory_halves_the_batch_and_goes_on(tmp_path):
    """The first layer of 16 samples takes 134 MB: too much once two batches are done and 100 MB are to spare."""
    size_px, batch_size, n_free = 256, 16, 2
    free = run_limited(size_px, batch_size, 0, tmp_path / "free.npz")
    limited = run_limited(size_px, batch_size, 100, tmp_path / "limited.npz", n_free)
    assert free.returncode == limited.returncode == 0, limited.stderr
    assert "out of memory" not in free.stderr
    assert f"net: out of memory on cpu; going on with batches of {batch_size // 2}" in limited.stderr
    expected, found = np.load(tmp_path / "free.npz"), np.load(tmp_path / "limited.npz")
    assert list(expected["starts"]) == list(range(0, 64, batch_size))
    steps = np.diff([*found["starts"], 64])
    assert found["starts"][0] == 0 and (steps[:n_free] == batch_size).all()
    assert (steps[n_free:] <= batch_size // 2).all() and (np.diff(steps) <= 0).all()
    for name in ("first", "last"):
        assert found[name].shape == expected[name].shape
        assert np.abs(found[name] - expected[name]).max() < 1e-5 * expected[name].std()


@pytest.mark.study
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory as Linux does")
@pytest.mark.parametrize("size_px", [2048, 16384])
def test_a_single_sample_beyond_memory_is_one_line(tmp_path, size_px):
    """One sample of 2048 px takes 537 MB in the first layer; of 16384 px its own 3.2 GB before any layer."""
    done = run_limited(size_px, 4, 200, tmp_path / "none.npz")
    assert done.returncode == 1
    *halved, last = done.stderr.strip().splitlines()
    assert [line.rpartition(" ")[2] for line in halved] == ["2", "1"]
    assert last.startswith("LayermapError: net runs out of memory on cpu with a single sample; show it smaller input")


def test_half_precision_is_let_through_where_it_changes_little(small, pictures, pictures_of, all_layers):
    single = all_layers(network_of(small), pictures_of(pictures[:16]), 16)
    half = all_layers(network_of(small, precision="bfloat16"), pictures_of(pictures[:16]), 16)
    for name, values in single.items():
        deviation = np.sqrt(np.mean((half[name] - values) ** 2)) / values.std()
        assert 0 < deviation < HALF_BOUND, name


class Sensitive(nn.Module):
    """Small differences of large values, which half precision loses."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.spread = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        nn.init.constant_(self.conv.bias, 1e4)
        with torch.no_grad():
            self.spread.weight.copy_(torch.eye(4)[:, :, None, None])
            self.spread.bias.fill_(-1e4)

    def forward(self, pictures):
        return self.spread(self.conv(pictures))


def test_half_precision_is_refused_where_it_changes_a_layer(pictures, pictures_of):
    network = network_of(Sensitive(), {"spread": Tap("spread")}, precision="bfloat16")
    with pytest.raises(LayermapError, match=r"layer 'spread' of net differs by .* between bfloat16 and") as error:
        list(network.batches(pictures_of(pictures[:4]), 4))
    assert "take precision: float32" in str(error.value)


class Overflowing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        nn.init.constant_(self.conv.weight, 1e5)

    def forward(self, pictures):
        return self.conv(pictures)


def test_half_precision_that_overflows_is_refused(pictures, pictures_of):
    network = network_of(Overflowing(), {"conv": Tap("conv")}, precision="float16")
    with pytest.raises(LayermapError, match=r"layer 'conv' of net differs by (nan|inf) of its SD between float16"):
        list(network.batches(pictures_of(pictures[:4]), 4))


class Failing:
    """A presenter whose stimulus breaks after two batches."""

    def clock(self, stimulus):
        return "item", np.arange(4)

    def passes(self, stimulus, batch_size, first=0):
        for start in (0, 1):
            yield Pass(start, 1, torch.zeros(1, 3, 16, 16))
        raise OSError("the disk went away")


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_an_error_while_reading_surfaces_after_what_was_read(small):
    network = HookedNetwork("net", small, TAPS, Failing(), torch.device("cpu"))
    batches = network.batches(None, 1)
    assert [next(batches)[0], next(batches)[0]] == [0, 1]
    with pytest.raises(OSError, match="the disk went away"):
        next(batches)
    assert not threads()


def test_stopping_early_leaves_no_thread(small, pictures, pictures_of):
    batches = network_of(small).batches(pictures_of(pictures), 1)
    next(batches)
    batches.close()
    assert not threads()
    items = prefetched(iter(range(1000)))
    assert next(items) == 0
    items.close()
    assert not threads()


def test_an_error_of_the_network_leaves_no_thread(pictures, pictures_of):
    with pytest.raises(LayermapError):
        list(network_of(Flat(), {"head": Tap("head")}).batches(pictures_of(pictures), 1))
    assert not threads()


def test_items_come_in_order_and_no_further_ahead_than_asked():
    made = []

    def make():
        for number in range(20):
            made.append(number)
            yield number

    taken = []
    for item in prefetched(make(), depth=2):
        taken.append(item)
        assert len(made) <= len(taken) + 3  # two that wait and one in the maker's hand
    assert taken == list(range(20))


def test_settings_of_torch_are_put_back(small, pictures, pictures_of):
    before = torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    for _ in network_of(small).batches(pictures_of(pictures), 64):
        now = torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        assert now == before
    assert json.dumps(before) == "[false, true, false]"
