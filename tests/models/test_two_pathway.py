"""The two-pathway video network: the published checkpoint, rotated kernels, prediction of the future, layers."""

import os
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from pipeline.core.errors import BrokenArtifact
from pipeline.fetch.checks.digests import digests_of
from pipeline.models.calibration import calibration_photographs
from pipeline.models.convert.checkpoint import convert_two_pathway
from pipeline.models.entry import Twin
from pipeline.models.networks import two_pathway
from pipeline.models.shown.present_pictures import Pictures
from pipeline.models.torch.hooked_network import HookedNetwork, Pass
from pipeline.models.torch.hooks import Tap
from pipeline.models.torch.torch_network import load_weights
from pipeline.models.torch.twins import recompute_normalisation, replace_weights

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")

URL = two_pathway.TWO_PATHWAY_CPC.weights.url
CELLS = ("agg.ConvGRUCell_00", "agg.cell_list.0")
GATES = ("reset_gate", "update_gate", "out_gate")


@pytest.fixture(scope="module")
def checkpoint(mirror: Path) -> Path:
    path = mirror / URL.removeprefix("https://")
    if not path.is_file():
        pytest.skip(f"needs {path}")
    return path


@pytest.fixture(scope="module")
def weights_folder(checkpoint, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    convert_two_pathway(checkpoint, folder)
    return folder


@pytest.fixture
def network(weights_folder):
    module = two_pathway.build_module()
    load_weights(module, weights_folder, two_pathway.NAME)
    return module


@pytest.fixture(scope="module")
def photographs() -> NDArray[np.uint8]:
    return np.stack([getattr(skimage.data, name)()[:300, :400] for name in ("chelsea", "coffee", "astronaut")])


@pytest.fixture(scope="module")
def videos():
    """Windows that slide over photographs, 1.4 pixels of the network per frame: (4, 8, 3, 5, 64, 64)."""
    generator = np.random.default_rng(0)
    shown = []
    for index, name in enumerate(("astronaut", "chelsea", "coffee", "rocket")):
        photograph = getattr(skimage.data, name)()
        photograph = photograph if photograph.ndim == 3 else photograph[..., None].repeat(3, axis=2)
        top = generator.integers(photograph.shape[0] - 128 - 3 * 39 + 1)
        left = generator.integers(photograph.shape[1] - 128 - 2 * 39 + 1)
        steps = range(40) if index % 2 else range(39, -1, -1)
        frames = [photograph[top + 2 * s : top + 2 * s + 128, left + 2 * s : left + 2 * s + 128] for s in steps]
        shown.append(two_pathway.OPTICS(np.stack(frames)).unflatten(0, (8, 5)).transpose(1, 2))
    return torch.stack(shown)


def still(pictures):
    """Clips of five equal frames: (n, 3, 5, 64, 64)."""
    return two_pathway.OPTICS(pictures)[:, :, None].expand(-1, -1, two_pathway.CLIP_FRAMES, -1, -1).contiguous()


def layers_of(module, clips):
    """Layer → (n, channel, t, y, x)."""
    taps = {layer: Tap(name) for layer, name in two_pathway.MODULES.items()}
    hooked = HookedNetwork("two pathways", module.backbone, taps, Pictures(two_pathway.OPTICS), torch.device("cpu"))
    return hooked.run(Pass(0, len(clips), clips), list(taps), lambda layer, values, n_prefix: values.clone())


def test_the_source_is_the_published_checkpoint(checkpoint):
    source = two_pathway.TWO_PATHWAY_CPC.weights
    assert checkpoint.stat().st_size == source.bytes
    assert digests_of(checkpoint, {"sha256"}) == {"sha256": source.sha256}


def test_every_tensor_of_the_checkpoint_has_its_place(network):
    def count(module):
        return sum(values.numel() for values in module.parameters())

    counters = sum(
        values.numel() for name, values in network.state_dict().items() if name.endswith("num_batches_tracked")
    )
    assert count(network.backbone) == 153_824
    assert count(network) == two_pathway.PARAMETERS == two_pathway.TWO_PATHWAY_CPC.parameters == 285_536
    assert counters == two_pathway.STEP_COUNTERS
    assert count(network) + counters == 285_599


def test_stem_sees_a_turned_picture_with_turned_channels(network):
    convolution = network.backbone.s1.conv1
    # an odd size has a middle pixel, so that stride 2 takes the same pixels after a quarter turn
    clips = torch.randn(1, 3, 5, 65, 65, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        upright, turned = convolution(clips), convolution(torch.rot90(clips, 1, (3, 4)))
    back = torch.rot90(turned, -1, (3, 4)).roll(-32, dims=1)
    torch.testing.assert_close(back, upright, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(turned, upright, atol=0.1)


def test_stored_statistics_are_those_of_turned_kernels(network):
    """What the stem's normalisation saw in training repeats with the four rotations, 32 channels each."""
    stored = network.backbone.s1.bn1.running_mean.view(4, 32).numpy()
    assert np.corrcoef(stored)[0].min() > 0.99


def own_video(module, videos) -> float:
    """How often a prediction is nearer to its own video's future than to that of any other, same place and step."""
    with torch.no_grad():
        *_, scores = module.predict_future(videos)
    n = len(videos)
    scores = scores.view(n, scores.shape[0] // n, n, -1).diagonal(dim1=1, dim2=3)
    return float((scores.argmax(dim=1) == torch.arange(n)[:, None]).float().mean())


def test_predicts_which_future_a_video_has(network, videos):
    """Places alone are no evidence: zero padding tells the network where it is, whatever the video shows."""
    predictions, targets, scores = network.predict_future(videos[:2])
    assert predictions.shape == targets.shape == (2, 3, 128, 16, 16)
    first = (predictions[0, 0, :, 0, 0] * targets[1, 2, :, 15, 15]).sum()
    torch.testing.assert_close(scores[0, -1], first)

    assert own_video(network, videos) > 0.6  # chance 1 / 4
    replace_weights(network, Twin("random", 0))
    stills = still(np.stack(calibration_photographs(64)))
    recompute_normalisation(network, lambda: network(stills))
    assert own_video(network, videos) < 0.35


def test_the_true_future_is_among_the_best_of_thousands(network, videos):
    """Nearest three of 3,072 places, steps and videos: the published accuracy on UCF101 is .93."""
    with torch.no_grad():
        *_, scores = network.predict_future(videos)
    rank = (scores > scores.diagonal()[:, None]).sum(dim=1)
    assert float((rank < 3).float().mean()) > 0.5


def test_layers_are_those_of_the_entry_and_of_the_network(network, photographs):
    clips = still(photographs)
    with torch.no_grad():
        layers = layers_of(network, clips)
        joined = network(clips)
    infos = two_pathway.TWO_PATHWAY_CPC.layers
    assert list(layers) == [info.name for info in infos] == list(two_pathway.MODULES)
    assert layers.pop("stem").shape == (3, 128, 5, 16, 16)
    assert {tuple(values.shape) for values in layers.values()} == {(3, 64, 5, 16, 16)}
    torch.testing.assert_close(torch.cat([layers["path1.res9"], layers["path2.res9"]], dim=1), joined)
    for path in two_pathway.PATHWAYS:
        depths = [(info.index, info.relative_depth) for info in infos if info.pathway == path]
        assert depths[0] == (1, 0.0) and depths[-1] == (10, 1.0)


def test_batch_size_does_not_change_the_numbers(network, photographs):
    clips = still(photographs)
    with torch.no_grad():
        together = layers_of(network, clips)
        alone = [layers_of(network, clips[index : index + 1]) for index in range(len(clips))]
    for name, values in together.items():
        deviation = (torch.cat([one[name] for one in alone]) - values).abs().max()
        assert deviation < 1e-5 * values.std(), name


def test_a_stimulus_gives_layers_averaged_over_its_clips(network, weights_folder, photographs, pictures_of, all_layers):
    entry = two_pathway.TWO_PATHWAY_CPC
    loaded = two_pathway.load(entry, weights_folder, None, "cpu")
    found = all_layers(loaded, pictures_of(photographs), 2)
    assert list(found) == [info.name for info in entry.layers]
    for name, values in layers_of(network, still(photographs)).items():
        expected = values.mean(dim=2).numpy()
        assert np.abs(found[name] - expected).max() < 1e-5 * expected.std(), name
    frames = np.repeat(photographs, 6, axis=0)  # each is on screen for 0.2 s
    movie = all_layers(loaded, pictures_of(frames, 30.0), 8)["path1.res5"]
    clip = two_pathway.OPTICS(frames[[2, 5, 8, 11, 14]])  # on screen 0.4, 0.3, 0.2, 0.1 and 0 s before its end
    expected = layers_of(network, clip.transpose(0, 1)[None])["path1.res5"].mean(dim=2).numpy()
    assert np.abs(movie[14] - expected[0]).max() < 1e-5 * expected.std()


def test_grey_is_colour_with_equal_channels(photographs):
    grey = photographs[..., :1]
    torch.testing.assert_close(two_pathway.OPTICS(grey), two_pathway.OPTICS(np.repeat(grey, 3, axis=3)))
    white = two_pathway.OPTICS(np.full((1, 31, 31, 1), 255, dtype=np.uint8))
    torch.testing.assert_close(white[0, :, 5, 5], torch.tensor([2.2489, 2.4286, 2.6400]), atol=1e-4, rtol=0)


def test_training_drops_branches_and_evaluation_does_not(network):
    block = network.backbone.path1.res_blocks.res1
    block.branch2.eval()
    maps = torch.rand(200, 64, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        evaluated = block.eval()(maps)
        block.training = True
        torch.manual_seed(0)
        trained = block(maps)
    dropped = (trained == torch.relu(maps)).flatten(1).all(dim=1)
    assert 0.1 < float(dropped.float().mean()) < 0.3
    assert not (evaluated == torch.relu(maps)).flatten(1).all(dim=1).any()


def cell_state(prefix: str = "module.") -> dict[str, torch.Tensor]:
    return {f"{prefix}{cell}.{gate}.weight": torch.ones(2, 2) for cell in CELLS for gate in GATES}


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class TestConversion:
    def test_keeps_one_cell_and_drops_the_prefix(self, tmp_path):
        from safetensors.torch import load_file

        torch.save({"state_dict": cell_state(), "epoch": 100}, tmp_path / "net.tar")
        convert_two_pathway(tmp_path / "net.tar", tmp_path / "out")
        assert set(load_file(tmp_path / "out" / "model.safetensors")) == {f"{CELLS[0]}.{gate}.weight" for gate in GATES}

    def test_equal_bytes_again(self, checkpoint, weights_folder, tmp_path):
        convert_two_pathway(checkpoint, tmp_path)
        again, before = (folder / "model.safetensors" for folder in (tmp_path, weights_folder))
        assert again.read_bytes() == before.read_bytes()

    def test_refuses_a_pickle_that_calls_something(self, tmp_path):
        source, trace = tmp_path / "evil.tar", tmp_path / "trace"
        torch.save({"state_dict": cell_state(), "net": Attack(trace)}, source)
        with pytest.raises(BrokenArtifact, match=r"evil\.tar.*it asks for \w+\.system"):
            convert_two_pathway(source, tmp_path / "out")
        assert not trace.exists()
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"weights": torch.ones(2)}, "holds no 'state_dict' of tensors"),
            ({"state_dict": {"epoch": 3}}, "holds no 'state_dict' of tensors"),
            (torch.ones(2), "holds no 'state_dict' of tensors"),
            ({"state_dict": {"module.fc.weight": torch.ones(2)}}, "but has 0 and 0 tensors there"),
            (
                {"state_dict": cell_state() | {f"module.{CELLS[1]}.out_gate.weight": torch.zeros(2, 2)}},
                r"cell_list\.0\.out_gate\.weight differ",
            ),
        ],
    )
    def test_refuses_other_checkpoints(self, tmp_path, content, message):
        source = tmp_path / "net.tar"
        torch.save(content, source)
        with pytest.raises(BrokenArtifact, match=message) as error:
            convert_two_pathway(source, tmp_path / "out")
        assert "\n" not in str(error.value)
        assert not (tmp_path / "out").exists()
