"""Every entry of the registry: light to import, ordered layers, honest numbers."""

import json
import subprocess
import sys

import pytest

from pipeline.errors import BrokenArtifact, LayermapError
from pipeline.models import efficientnet
from pipeline.models.registry import MODELS
from pipeline.models.torch_network import choose_device
from pipeline.registry import import_object


@pytest.mark.parametrize("name", MODELS.names())
def test_entry_is_whole(name):
    entry = MODELS.get(name)
    assert entry.name == name
    assert callable(import_object(entry.factory))
    assert [layer.index for layer in entry.layers] == list(range(len(entry.layers)))
    depths = [layer.relative_depth for layer in entry.layers]
    assert depths == sorted(depths)
    assert depths[0] == 0
    assert depths[-1] == (1 if len(depths) > 1 else 0)
    assert json.loads(json.dumps(entry.preprocessing)) == entry.preprocessing
    assert (entry.objective == "baseline") == (entry.weights is None) == (not entry.has_random_twin)
    assert entry.title and entry.citation and entry.licence
    if entry.weights:
        import_object(entry.weights.convert)


def test_listing_models_imports_nothing_heavy():
    code = (
        "import sys\nfrom pipeline.models.registry import MODELS\n[MODELS.get(name) for name in MODELS]\n"
        "print([m for m in ('torch', 'transformers', 'scipy', 'sklearn', 'skimage', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_missing_or_foreign_weights_are_one_line(tmp_path, weights):
    with pytest.raises(BrokenArtifact, match=r"weights of efficientnet-lite0 are missing .* snakemake fetch"):
        efficientnet.load(tmp_path, None, "cpu")
    foreign = weights("crepe-tiny")
    with pytest.raises(BrokenArtifact, match="does not hold the tensors of efficientnet-lite0"):
        efficientnet.load(foreign, None, "cpu")
    (tmp_path / "model.safetensors").write_bytes((foreign / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(BrokenArtifact, match="cannot be read as safetensors"):
        efficientnet.load(tmp_path, None, "cpu")


def test_unknown_device_is_one_line():
    with pytest.raises(LayermapError, match="device 'abacus' is unknown"):
        choose_device("abacus")
