"""A network of the user's own, from its file to the store: odd outputs, patterns, checkpoints, and what goes wrong."""

import importlib.util
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.artifacts.activations import open_activations
from pipeline.artifacts.stimulus import open_stimulus
from pipeline.models.shown.present_pictures import IMAGENET_MEAN, IMAGENET_SD, Optics
from tests.activations.own_study import NETWORK, OWN, SIDE, Lab, digests

pytestmark = pytest.mark.slow

ODD = """
import torch
from torch import nn


class Two(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, width, 3), nn.Linear(3 * 16 * 16, width)

    def forward(self, values):
        return {"maps": (self.left(values), values.mean()), "tokens": (values, self.right(values.flatten(1)))}


class Odd(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.two, self.last = Two(width), nn.Linear(width, 3)

    def forward(self, *, other=None, shown=None):
        two = self.two(shown)
        return {"both": two, "answer": [self.last(two["tokens"][1])]}


def build(width):
    torch.manual_seed(3)
    return Odd(width)
"""
RESNET = '''
import torch
from torch import nn
from torch.nn.functional import pad, relu


class Block(nn.Module):
    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.stride, self.more = stride, n_out - n_in

    def forward(self, x):
        y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        kept = pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return relu(y + kept)


class ResNet20(nn.Module):
    """He et al. 2016, section 4.2: CIFAR-10, shortcuts without weights."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        for number, (n_in, n_out) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
            blocks = [Block(n_in, n_out, 1 if number == 1 else 2), Block(n_out, n_out, 1), Block(n_out, n_out, 1)]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = relu(self.bn1(self.conv1(x)))
        for layer in (self.layer1, self.layer2, self.layer3):
            x = layer(x)
        return self.linear(x.mean(dim=(2, 3)))


def build():
    return ResNet20()
'''
RESNET_WEIGHTS = (
    "raw.githubusercontent.com/akamaster/pytorch_resnet_cifar10/d5489e8995e81e91ce6b1d69dcc98ad579b0b153/"
    "pretrained_models/resnet20-12fca82f.th"
)


def activations(lab):
    lab.run("catalogue", "fetch", "prepare", "activate")
    (store,) = lab.stores()
    return open_activations(store)


def built(text, folder, **arguments):
    """The module that a file's ``build`` makes, outside the pipeline."""
    (folder / "outside.py").write_text(text)
    spec = importlib.util.spec_from_file_location("outside", folder / "outside.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build(**arguments).eval()


def shown(lab, size_px=SIDE, mean=IMAGENET_MEAN, sd=IMAGENET_SD):
    (path,) = (lab.work / "data" / "prepared").rglob("*.zarr")
    return Optics(size_px, mean, sd)(open_stimulus(path)["images"].values)


def assert_equal(found, expected):
    np.testing.assert_allclose(found, expected.detach().flatten(1).numpy(), rtol=1e-5, atol=1e-5)


def test_parts_of_odd_outputs(lab, tmp_path):
    (lab.folder / "my_net.py").write_text(ODD)
    layers = [
        {"module": "two", "name": "maps", "select": "maps.0"},
        {"module": "two", "name": "tokens", "select": "tokens.1"},
        {"module": "last", "side": "input", "name": "before"},
        {"module": "", "name": "answer", "select": "answer.0"},
        {"module": "two.left"},
    ]
    lab.write({"own": {**OWN, "arguments": {"width": 6}, "layers": layers, "input": "shown"}})
    found = activations(lab)
    assert [layer.name for layer in found.layers] == ["maps", "tokens", "before", "answer", "two.left"]
    assert [layer.relative_depth for layer in found.layers] == [0, 0.25, 0.5, 0.75, 1]
    answer = built(ODD, tmp_path, width=6)(shown=shown(lab))
    assert_equal(found.read("maps"), answer["both"]["maps"][0])
    assert_equal(found.read("tokens"), answer["both"]["tokens"][1])
    assert_equal(found.read("answer"), answer["answer"][0])
    np.testing.assert_array_equal(found.read("two.left"), found.read("maps"))
    np.testing.assert_array_equal(found.read("before"), found.read("tokens"))


def test_patterns_take_modules_in_order_of_the_network(lab, tmp_path):
    lab.write({"own": {**OWN, "layers": ["blocks.*", "**.conv", "stem"], "arguments": {"depth": 11}}})
    found = activations(lab)
    blocks = [f"blocks.{number}" for number in range(11)]
    assert [layer.name for layer in found.layers] == [*blocks, *(f"{block}.conv" for block in blocks), "stem"]
    module = built(NETWORK, tmp_path, depth=11)
    stem = module.stem(shown(lab))
    assert_equal(found.read("stem"), stem)
    assert_equal(found.read("blocks.0.conv"), module.blocks[0].conv(stem))
    assert_equal(found.read("blocks.1"), module.blocks[1](module.blocks[0](stem)))


@pytest.fixture
def resnet(lab, mirror, tmp_path):
    """A ResNet-20 with its published weights, and the study that takes it."""
    (lab.folder / "resnet.py").write_text(RESNET)
    module = built(RESNET, tmp_path)
    published = torch.load(mirror / RESNET_WEIGHTS, map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict({name.removeprefix("module."): tensor for name, tensor in published.items()})

    def write(weights):
        own = {**OWN, "factory": "resnet.py:build", "layers": ["layer*.*", "linear"], "size_px": 32, "weights": weights}
        own["objective"] = "supervised"
        lab.write({"own": own})
        return activations(lab)

    return module, write


@pytest.mark.parametrize("form", ["published", "safetensors", "plain", "nested"])
def test_a_published_checkpoint_in_every_form_gives_the_same(lab, mirror, resnet, form):
    module, write = resnet
    state = module.state_dict()
    if form == "published":
        found = write(str(mirror / RESNET_WEIGHTS))
    elif form == "safetensors":
        save_file(state, lab.folder / "w.safetensors")
        found = write("w.safetensors")
    elif form == "plain":
        torch.save(state, lab.folder / "w.pth")
        found = write("w.pth")
    else:
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": one for name, one in state.items()}}, "../lab/w.tar")
        found = write("w.tar")
    assert [layer.name for layer in found.layers][-2:] == ["layer3.2", "linear"] and len(found.layers) == 10
    with torch.no_grad():
        assert_equal(found.read("linear"), module(shown(lab, 32)))
    assert found.attrs["objective"] == "supervised" and len(found.attrs["weights_sha256"]) == 64
    (folder,) = (lab.work / "data" / "raw" / "weights").iterdir()
    assert folder.name == f"own-{found.attrs['weights_sha256'][:10]}"
    kept = load_file(folder / "model.safetensors")
    assert all(torch.equal(kept[name], one) for name, one in state.items() if "num_batches" not in name)


def test_the_twins_of_a_trained_network_share_its_weights_and_have_none_of_its_answers(lab, mirror, resnet):
    _, write = resnet
    trained = write(str(mirror / RESNET_WEIGHTS)).read("linear")
    networks = {
        "own": {
            **OWN,
            "factory": "resnet.py:build",
            "layers": ["linear"],
            "objective": "supervised",
            "weights": str(mirror / RESNET_WEIGHTS),
        }
    }
    lab.write(networks, "own@random-1", "own@shuffled-1")
    lab.run("fetch", "activate")
    stores = [open_activations(store) for store in lab.stores() if "own@" in store.name]
    assert [(store.attrs["twin"], store.attrs["seed"], store.attrs["objective"]) for store in stores] == [
        ("random", 1, "random"),
        ("shuffled", 1, "shuffled"),
    ]
    for store in stores:
        values = store.read("linear")
        assert np.isfinite(values).all() and abs(np.corrcoef(values.ravel(), trained.ravel())[0, 1]) < 0.9
    assert len(list((lab.work / "data" / "raw" / "weights").iterdir())) == 1


RAISES = "def build():\n    raise ValueError('no width\\ngiven')\n"
FACTORIES = [
    (RAISES, {}, ["my_net.py:build failed (ValueError: no width)"]),
    ("def build():\n    return [1]\n", {}, ["my_net.py:build gave a list", "expected a torch.nn.Module"]),
    ("def make():\n    pass\n", {}, ["my_net.py", "build"]),
    ("def build(:\n", {}, ["my_net.py is not valid Python", "line 1"]),
    ("import no_such_package\n\n\ndef build():\n    pass\n", {}, ["my_net.py", "no_such_package"]),
    (NETWORK, {"arguments": {"breadth": 3}}, ["my_net.py:build failed", "unexpected keyword argument 'breadth'"]),
    (NETWORK, {"layers": ["stem", "block.*"]}, ["unknown module of own 'block.*'", "closest: 'blocks"]),
    (NETWORK, {"layers": ["stem", "bloks.0"]}, ["unknown module of own 'bloks.0'", "closest: 'blocks.0'"]),
    (NETWORK, {"layers": ["blocks"]}, ["unknown module of own 'blocks'", "closest: 'blocks.1'"]),
    (NETWORK, {"layers": [{"module": "stem", "select": "1"}]}, ["layer 'stem' of own", "no part '1'"]),
    (NETWORK, {"input": "sounds"}, ["own refuses input of shape", "unexpected keyword argument 'sounds'"]),
    (ODD, {"arguments": {"width": 2}, "input": "shown", "size_px": 20, "layers": ["last"]}, ["refuses input of shape"]),
    (NETWORK.replace("self.head(values", "self.head(1 / (values - values)"), {}, ["layer 'head'", "is not finite"]),
]


@pytest.mark.parametrize(("text", "changes", "parts"), FACTORIES)
def test_what_is_wrong_with_a_network_is_one_line_and_leaves_no_store(lab, capsys, text, changes, parts):
    lab.write({"own": {**OWN, **changes}})
    lab.run("catalogue", "fetch", "prepare")
    (lab.folder / "my_net.py").write_text(text)
    message = lab.refusal("activate", capsys)
    assert all(part in message for part in parts), message
    assert [path for path in (lab.work / "data" / "activations").rglob("*") if path.is_file()] == []


@pytest.fixture
def trained(lab) -> Lab:
    """A study with local weights, prepared and fetched."""
    module = built(NETWORK, lab.folder)
    save_file({name: one + 1 for name, one in module.state_dict().items()}, lab.folder / "w.safetensors")
    lab.write({"own": {**OWN, "weights": "w.safetensors", "objective": "supervised"}})
    lab.run("catalogue", "fetch", "prepare")
    return lab


def fetched(lab: Lab) -> Path:
    (path,) = (lab.work / "data" / "raw" / "weights").rglob("model.safetensors")
    return path


@pytest.mark.parametrize("damage", ["header", "tensor", "truncated", "empty", "deleted", "another network"])
def test_damaged_weights_are_named_and_fetched_again(trained, capsys, damage):
    path, content = fetched(trained), fetched(trained).read_bytes()
    if damage == "header":
        path.write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    elif damage == "tensor":
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 64]) + content[-2:])
    elif damage in ("truncated", "empty"):
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    elif damage == "deleted":
        path.unlink()
    else:
        save_file({"stem.weight": torch.zeros(3)}, path)
    message = trained.refusal("activate", capsys)
    assert "model.safetensors" in message and "snakemake fetch" in message
    assert trained.stores() == []
    shutil.rmtree(path.parent)
    trained.run("fetch", "activate")
    assert path.read_bytes() == content


@pytest.mark.parametrize("wrong", ["shape", "missing", "left over"])
def test_weights_of_another_network_are_named(trained, capsys, wrong):
    state = load_file(trained.folder / "w.safetensors")
    if wrong == "shape":
        state["head.weight"] = torch.zeros(5, 9)
    elif wrong == "missing":
        del state["head.weight"]
    else:
        state["tail.weight"] = torch.zeros(5)
    save_file(state, trained.folder / "w.safetensors")
    trained.run("fetch")
    message = trained.refusal("activate", capsys)
    assert "does not hold the tensors of own" in message and ("tail" if wrong == "left over" else "head") in message


class Harmful:
    def __reduce__(self):
        return (print, ("code of a checkpoint ran",))


@pytest.mark.parametrize("content", ["pickle", "list", "text", "truncated", "changed", "swollen"])
def test_local_files_that_are_no_checkpoints_are_refused_by_fetch(lab, capsys, content):
    path = lab.folder / "w.pth"
    torch.save({"a": torch.zeros(3)}, path)
    if content == "pickle":
        path.write_bytes(pickle.dumps({"state_dict": Harmful()}))
    elif content == "list":
        torch.save([1, 2], path)
    elif content == "text":
        path.write_text("<html>")
    elif content == "truncated":
        path.write_bytes(path.read_bytes()[:300])
    elif content == "swollen":
        torch.save({"a": torch.zeros(1).expand(10**9)}, path)
    else:
        path = path.rename(path.with_suffix(".safetensors"))
    lab.write({"own": {**OWN, "weights": path.name, "objective": "supervised"}})
    lab.run("catalogue")
    message = lab.refusal("fetch", capsys)
    assert path.name in message and "delete" not in message
    assert "code of a checkpoint ran" not in capsys.readouterr().out
    assert list((lab.work / "data").rglob("model.safetensors")) == []


def test_a_stimulus_of_another_kind_is_refused_before_it_is_fetched(lab, capsys):
    (lab.folder / "words.csv").write_text("text,onset_s,offset_s\none,0,0.5\ntwo,3,3.5\n")
    np.save(lab.folder / "bold.npy", np.zeros((4, 2)))
    recording = {"kind": "files", "responses": "bold.npy", "stimulus": "words.csv", "sample_interval_s": 1.0}
    lab.write({"own": OWN}, "own", recording={**recording, "regions": "regions.csv"})
    assert "model 'own' takes movie, images, but stimulus 'stimulus' of files is words" in lab.refusal(
        "catalogue", capsys
    )
    assert not (lab.work / "data" / "raw").exists()


NO_MODULE = """
import numpy as np
from pipeline.models.entry import evenly_deep


class Mean:
    def clock(self, stimulus):
        return "item", stimulus["item"].values

    def batches(self, stimulus, batch_size):
        for start in range(0, stimulus.sizes["image"], batch_size):
            pictures = stimulus["images"][start : start + batch_size].values
            yield start, {"mean": pictures.mean(axis=(1, 2), dtype=np.float32), "sd": pictures.std(axis=(1, 2))}


class Listed(Mean):
    layers = evenly_deep(["mean", "sd"])


def build(listed):
    return Listed() if listed else Mean()
"""


def test_a_network_that_is_no_torch_module(lab, capsys):
    (lab.folder / "my_net.py").write_text(NO_MODULE)
    lab.write({"own": {**OWN, "arguments": {"listed": True}}}, {"name": "own", "layers": ["mean"]})
    found = activations(lab)
    assert [layer.name for layer in found.layers] == ["mean"] and found.read("mean").shape == (12, 3)
    lab.write({"own": {**OWN, "arguments": {"listed": False}}})
    assert "network 'own' does not say which layers it has" in lab.refusal("activate", capsys)


def test_layers_asked_for_are_checked_once_the_network_is_built(lab, capsys):
    lab.write({"own": OWN}, {"name": "own", "layers": ["blocks.0", "block.1"]})
    lab.run("catalogue", "fetch", "prepare")
    assert "unknown layer of own 'block.1' (closest: 'blocks.1')" in lab.refusal("activate", capsys)
    lab.write({"own": OWN}, {"name": "own", "layers": ["blocks.0"]})
    lab.run("activate")
    assert [layer.name for layer in open_activations(lab.stores()[0]).layers] == ["blocks.0"]


UNSEEDED = """
from torch import nn

import widths


def build():
    return nn.Sequential(nn.Conv2d(3, widths.WIDTH, 3), nn.ReLU())
"""


def test_a_factory_that_seeds_nothing_gives_equal_stores_and_may_import_the_files_beside_it(lab):
    (lab.folder / "my_net.py").write_text(UNSEEDED)
    (lab.folder / "widths.py").write_text("WIDTH = 4\n")
    network = {"factory": "my_net.py:build", "modality": "images", "layers": ["0", "1"], "size_px": SIDE}
    lab.write({"own": network, "other": {**network, "seed": 1}})
    lab.run("catalogue", "fetch", "prepare", "activate")
    before = {path.name: digests(path) for path in lab.stores()}
    own, other = (open_activations(path).read("0") for path in lab.stores()[::-1])
    assert own.shape[1] == 4 * (SIDE - 2) ** 2
    assert not np.array_equal(own, other)
    for path in lab.stores():
        shutil.rmtree(path)
    lab.run("activate")
    assert {path.name: digests(path) for path in lab.stores()} == before


def test_twins_of_a_network_that_is_no_torch_module_are_refused(lab, capsys):
    (lab.folder / "my_net.py").write_text(
        "class Net:\n    def clock(self, stimulus):\n        pass\n\n    def batches(self, stimulus, batch_size):\n"
        "        pass\n\n\ndef build():\n    return Net()\n"
    )
    lab.write({"own": {**OWN, "layers": ["all"]}}, "own@random-1")
    lab.run("catalogue", "fetch", "prepare")
    refusal = lab.refusal("activate", capsys)
    assert "gave a Net, whose weights layermap cannot set; leave out weights and twins" in refusal


@pytest.mark.parametrize("text", ["import sys\nsys.exit(0)\n", "import sys\n\n\ndef build():\n    sys.exit(0)\n"])
def test_a_file_that_ends_the_program_ends_in_one_line(lab, capsys, text):
    (lab.folder / "my_net.py").write_text(text)
    lab.run("catalogue", "fetch", "prepare")
    assert "SystemExit" in lab.refusal("activate", capsys)


def test_a_folder_that_save_pretrained_left_is_a_network(lab):
    from transformers import ViTConfig, ViTForImageClassification, ViTModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    saved = ViTForImageClassification(ViTConfig(image_size=SIDE, patch_size=8, **sizes))
    saved.save_pretrained(lab.folder / "my_vit")
    lab.write({"own": {"checkpoint": "my_vit/", "size_px": SIDE, "objective": "supervised"}})
    lab.run("catalogue", "fetch", "prepare", "activate")
    stimulus = open_stimulus(next((lab.work / "data" / "prepared").rglob("*.zarr")))
    half = (0.5, 0.5, 0.5)
    with torch.inference_mode():
        states = ViTModel.from_pretrained(lab.folder / "my_vit", add_pooling_layer=False)(
            pixel_values=Optics(SIDE, half, half)(stimulus["images"].values), output_hidden_states=True
        )
    store = open_activations(lab.stores()[0])
    assert [layer.name for layer in store.layers] == ["embedding", "block1", "block2", "block3", "norm"]
    for layer, expected in zip(store.layers, [*states.hidden_states, states.last_hidden_state], strict=True):
        found = store.read(layer.name).reshape(len(expected), -1)
        np.testing.assert_allclose(found, expected.transpose(1, 2).flatten(1), atol=1e-5)
    key = store.path.name
    torch.manual_seed(1)
    ViTForImageClassification(saved.config).save_pretrained(lab.folder / "my_vit")
    lab.run("fetch", "activate")
    assert key not in {path.name for path in lab.stores() if path.stat().st_mtime > store.path.stat().st_mtime}
    assert len(lab.stores()) == 2


FROZEN = NETWORK.replace("return Net(width, depth)", "return Net(width, depth).requires_grad_(False)")


@pytest.mark.parametrize("kind", ["random", "shuffled"])
def test_a_network_that_its_author_froze_has_twins_all_the_same(lab, kind):
    (lab.folder / "my_net.py").write_text(FROZEN)
    lab.write({"own": {**OWN, "layers": ["stem"]}}, "own", f"own@{kind}-1")
    lab.run("catalogue", "fetch", "prepare", "activate")
    stores = {open_activations(path).attrs["twin"]: open_activations(path) for path in lab.stores()}
    trained, twin = stores[""].read("stem"), stores[kind].read("stem")
    assert abs(np.corrcoef(trained.ravel(), twin.ravel())[0, 1]) < 0.9


def test_how_a_network_with_weights_was_trained_has_to_be_said(lab, capsys):
    torch.save({}, lab.folder / "w.pth")
    lab.write({"own": {**OWN, "weights": "w.pth"}})
    assert "nothing says how it was trained; add objective: self-supervised or supervised" in lab.refusal(
        "catalogue", capsys
    )


BATCH_SECOND = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = nn.LSTM(3, 4)

    def forward(self, pictures):
        return self.steps(pictures.flatten(2).permute(2, 0, 1))


def build():
    return Net()
"""


def test_values_that_are_not_one_row_per_input_are_refused(lab, capsys):
    (lab.folder / "my_net.py").write_text(BATCH_SECOND)
    lab.write({"own": {**OWN, "layers": ["steps"]}})
    lab.run("catalogue", "fetch", "prepare")
    message = lab.refusal("activate", capsys)
    assert "layer 'steps' of own has values of shape (256, " in message and "choose another module" in message


def test_wide_layers_are_kept_only_if_asked_for(lab, capsys):
    wide = {**OWN, "layers": ["stem"], "size_px": 512, "arguments": {"width": 4}}
    lab.write({"own": wide})
    lab.run("catalogue", "fetch", "prepare")
    assert "layer 'stem' has 262,144 units, too many to keep unasked; say how to reduce it" in lab.refusal(
        "activate", capsys
    )
    lab.write({"own": wide}, {"name": "own", "reduction": {"kind": "none"}})
    lab.run("activate")
    assert open_activations(lab.stores()[0]).read("stem").shape[1] == 262_144
