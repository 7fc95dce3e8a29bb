"""Principal components of layers: those of scikit-learn, fitted on calibration stimuli and on nothing else."""

import json

import numpy as np
import pytest
from sklearn.decomposition import PCA

from pipeline.activations.options import PrincipalComponents
from pipeline.activations.principal_components import fit_components
from pipeline.activations.reduce import LARGEST_FITTED, Projector, keep_units
from pipeline.activations.stage import extract_activations
from pipeline.artifacts.activations import open_activations
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import LayermapError
from pipeline.models.calibration import calibration_stimulus
from tests.activations.own_study import OWN, SIDE, own_network, picture_set, random_pictures

pytestmark = pytest.mark.slow

N_FEATURES = 7


@pytest.fixture(scope="module")
def calibration():
    return calibration_stimulus("images", many=True)


def extract(lab, stimulus_path, output, reduction, batch_size=None):
    entry = lab.plan().models[0].model.entry
    extract_activations(
        stimulus_path=stimulus_path,
        output=output,
        model="own",
        entry=entry,
        twin=None,
        layers=None,
        reduction=reduction,
        weights_folder=None,
        device="cpu",
        attrs=standard_attrs("activations", "layermap activate", "key", "inputs"),
        batch_size=batch_size,
    )
    return open_activations(output)


def units(network, stimulus, layer):
    parts = [batch[layer] for _, batch in network.extract(stimulus, 32, (layer,), keep_units)]
    return np.concatenate(parts).astype(np.float64)


def assert_equal_up_to_sign(found, expected):
    sign = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * sign, expected, atol=1e-4 * np.abs(expected).max())


def test_scores_are_those_of_scikit_learn(lab, tmp_path, calibration):
    stimulus = picture_set(random_pictures(20), tmp_path / "pictures.zarr")
    found = extract(lab, tmp_path / "pictures.zarr", tmp_path / "o.zarr", PrincipalComponents(n_features=N_FEATURES))
    network = own_network(lab)
    explained = json.loads(found.attrs["explained"])
    for layer, n_features in (("stem", N_FEATURES), ("blocks.1", N_FEATURES), ("head", 5)):
        theirs = PCA(n_features, svd_solver="full").fit(units(network, calibration, layer))
        assert_equal_up_to_sign(found.read(layer), theirs.transform(units(network, stimulus, layer)))
        assert explained[layer] == pytest.approx(theirs.explained_variance_ratio_.sum(), abs=1e-4)


def test_wide_layers_are_projected_first(lab, tmp_path, calibration):
    lab.write({"own": {**OWN, "size_px": 4 * SIDE, "arguments": {"width": 5}, "layers": ["stem"]}})
    stimulus = picture_set(random_pictures(6), tmp_path / "pictures.zarr")
    reduction = PrincipalComponents(n_features=N_FEATURES, seed=3)
    found = extract(lab, tmp_path / "pictures.zarr", tmp_path / "out.zarr", reduction).read("stem")
    network, project = own_network(lab), Projector(LARGEST_FITTED, 3)
    fitted, shown = (units(network, one, "stem").astype(np.float32) for one in (calibration, stimulus))
    assert fitted.shape[1] == 5 * 32 * 32 > LARGEST_FITTED
    theirs = PCA(N_FEATURES, svd_solver="full").fit(project("stem", fitted).astype(np.float64))
    assert_equal_up_to_sign(found, theirs.transform(project("stem", shown).astype(np.float64)))


def test_the_stimulus_of_the_study_does_not_enter_the_components(lab, tmp_path):
    pictures, others = random_pictures(8), 255 - random_pictures(20, seed=1) // 4
    reduction = PrincipalComponents(n_features=N_FEATURES)
    picture_set(pictures, tmp_path / "alone.zarr")
    picture_set(np.concatenate([pictures, others]), tmp_path / "among.zarr")
    alone = extract(lab, tmp_path / "alone.zarr", tmp_path / "a.zarr", reduction, batch_size=8)
    among = extract(lab, tmp_path / "among.zarr", tmp_path / "b.zarr", reduction, batch_size=8)
    assert alone.attrs["explained"] == among.attrs["explained"]
    for layer in ("stem", "blocks.0", "blocks.1", "head"):
        np.testing.assert_array_equal(among.read(layer)[:8], alone.read(layer))
        assert np.abs(alone.read(layer).mean(axis=0)).max() > 1e-3  # not centred on what is shown


def test_too_few_samples_are_one_line(lab):
    few = picture_set(random_pictures(10))
    with pytest.raises(LayermapError, match="own: 10 calibration samples are too few for 10 components") as caught:
        fit_components(own_network(lab), few, ("stem",), PrincipalComponents(n_features=10), batch_size=4)
    assert "\n" not in str(caught.value)
    assert (
        fit_components(own_network(lab), few, ("stem",), PrincipalComponents(n_features=9), 4)["stem"].explained > 0.9
    )


def test_baselines_have_no_components(lab, capsys):
    lab.write({}, {"name": "pixels", "reduction": {"kind": "pca", "n_features": 3}})
    lab.run("catalogue", "fetch", "prepare")
    assert "reduction pca is for networks, not for baselines" in lab.refusal("activate", capsys)
    assert lab.stores() == []
