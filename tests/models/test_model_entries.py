"""Every entry of the registry: light to import, ordered layers, honest numbers."""

import json
import re
import subprocess
import sys

import pytest

from pipeline.core.code_version import ROOT
from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.core.registry import import_object
from pipeline.core.torch_device import choose_device
from pipeline.fetch.weights.pins import has_weights
from pipeline.models.networks import efficientnet
from pipeline.models.registry import MODELS, resolve_model
from pipeline.models.trained.entries import trained_names


@pytest.mark.parametrize("name", [*MODELS.names(), *trained_names()])
def test_entry_is_whole(name):
    entry = resolve_model(name).entry
    assert entry.name == name
    assert callable(import_object(entry.factory))
    assert len({layer.name for layer in entry.layers}) == len(entry.layers) > 0
    assert sorted({layer.index for layer in entry.layers}) == list(range(1 + max(i.index for i in entry.layers)))
    for pathway in {layer.pathway for layer in entry.layers}:
        own = [layer for layer in entry.layers if layer.pathway == pathway]
        indices, depths = [layer.index for layer in own], [layer.relative_depth for layer in own]
        assert indices == list(range(indices[0], indices[0] + len(own)))
        assert depths == sorted(set(depths))
        assert depths[0] == 0
        assert depths[-1] == (1 if len(depths) > 1 else 0)
    assert json.loads(json.dumps(entry.preprocessing)) == entry.preprocessing
    assert (entry.objective == "baseline") == (not has_weights(entry)) == (not entry.twins)
    assert entry.title and entry.citation and entry.licence
    assert set(entry.adjustable) <= set(entry.preprocessing)
    if entry.weights and entry.weights.convert:
        assert callable(import_object(entry.weights.convert))


def test_listing_models_imports_nothing_heavy():
    code = (
        "import sys\nfrom pipeline.models.registry import MODELS, resolve_model\n"
        "from pipeline.models.trained.entries import trained_names\n"
        "[resolve_model(name) for name in [*MODELS, *trained_names()]]\n"
        "print([m for m in ('torch', 'transformers', 'scipy', 'sklearn', 'skimage', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_formats_that_only_packages_have_are_reached_by_entries_alone():
    importing = re.compile(r"^\s*(from|import)\s.*\bconvert\.packaged\b|^\s*from\s.*\bconvert import .*packaged", re.M)
    files = list((ROOT / "pipeline").rglob("*.py"))
    assert len(files) > 300
    assert [path for path in files if importing.search(path.read_text(encoding="utf-8"))] == []
    assert {name for name in MODELS if ".convert.packaged:" in getattr(MODELS.get(name).weights, "convert", "")} == {
        "whisper-base",
        "smollm2-135m",
    }


def test_missing_or_foreign_weights_are_one_line(tmp_path, weights):
    with pytest.raises(BrokenArtifact, match=r"weights of efficientnet-lite0 are missing .* snakemake fetch"):
        efficientnet.load(efficientnet.EFFICIENTNET_LITE0, tmp_path, None, "cpu")
    foreign = weights("crepe-tiny")
    with pytest.raises(BrokenArtifact, match="does not hold the tensors of efficientnet-lite0"):
        efficientnet.load(efficientnet.EFFICIENTNET_LITE0, foreign, None, "cpu")
    (tmp_path / "model.safetensors").write_bytes((foreign / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(BrokenArtifact, match="cannot be read as safetensors"):
        efficientnet.load(efficientnet.EFFICIENTNET_LITE0, tmp_path, None, "cpu")


def test_unknown_device_is_one_line():
    with pytest.raises(LayermapError, match="device 'abacus' is unknown"):
        choose_device("abacus")
