"""The section networks of a study file: every mistake is one line that names the key, before any job starts."""

import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from pipeline.core.errors import LayermapError
from pipeline.study.load import load_study
from pipeline.study.network_entries import entries_of
from pipeline.study.plan import plan_study
from pipeline.study.study import Study
from tests.activations.own_study import OWN, SIDE

WITHOUT = object()
AUDIO = {**OWN, "modality": "audio", "size_px": WITHOUT}


def section(changes, start=OWN):
    return {name: value for name, value in {**start, **changes}.items() if value is not WITHOUT}


def entries(lab, networks):
    return entries_of(load_study(lab.write(networks, "pixels")))


def refusal(lab, networks, *models):
    with pytest.raises(LayermapError) as caught:
        plan_study(load_study(lab.write(networks, *(models or ("pixels",)))))
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    return message


@pytest.mark.parametrize(
    ("network", "parts"),
    [
        ({"base": "efficientnet-lite9"}, ["networks.x.base", "'efficientnet-lite9'", "closest: 'efficientnet-lite0'"]),
        ({"base": "efficientnet-lite0@random-1"}, ["networks.x.base", "is a twin", "x@random among the models"]),
        ({"base": "pixels@random"}, ["networks.x.base", "pixels has no weights"]),
        ({"base": "efficientnet-lite0", "window_s": 3}, ["networks.x", "window_s does not apply", "takes size_px"]),
        ({"base": "pixels", "size_px": 3}, ["networks.x", "size_px does not apply", "no settings"]),
        ({"base": "efficientnet-lite0", "layers": ["stem"]}, ["networks.x", "layers is for networks with factory"]),
        ({"base": "efficientnet-lite0", "weights": "my.npy"}, ["networks.x", "weights is for networks with factory"]),
        ({"base": "efficientnet-lite0", "input": "values"}, ["networks.x", "input is for networks with factory"]),
        ({"base": "efficientnet-lite0", "seed": 1}, ["networks.x", "seed is for networks with family or factory"]),
        ({"base": "efficientnet-lite0", "config": {}}, ["networks.x", "config is for networks with family only"]),
        ({"base": "pixels", "hub": "a/b"}, ["networks.x", "give exactly one of base, hub, ", "(got base, hub)"]),
        ({}, ["networks.x", "give exactly one of base, hub, ", "(got none)"]),
        ({"bass": "pixels"}, ["networks.x", "bass"]),
        ({"hub": "facebook/dinov2-tiny"}, ["networks.x.hub", "'facebook/dinov2-tiny' are not pinned", "pipeline pin"]),
        ({"family": "vitt"}, ["networks.x.family", "'vitt'", "closest: 'vit'"]),
        ({"family": "vit", "stride_s": 1}, ["networks.x", "stride_s does not apply", "size_px, mean, sd"]),
        ({"family": "vit", "config": {"num_hidden_layers": "2"}}, ["networks.x.family", "config.num_hidden_layers"]),
        ({"family": "vit", "config": {"num_hidden_layers": 0}}, ["networks.x.family", "config.num_hidden_layers is 0"]),
        ({"family": "convnext", "config": {"depths": []}}, ["networks.x.family", "config.depths is []"]),
        ({"family": "vit", "config": {"hidden_sizze": 3}}, ["networks.x.family", "'hidden_sizze'", "'hidden_size'"]),
        ({"family": "gpt2"}, ["networks.x.family", "an untrained gpt2 network has no tokenizer"]),
        ({"base": "crepe-tiny", "look_ahead_s": 0.2}, ["networks.x", "look_ahead_s does not apply", "takes stride_s"]),
        ({"base": "log-mel", "look_ahead_s": 0.2}, ["networks.x", "look_ahead_s does not apply", "no settings"]),
        ({"base": "whisper-base", "look_ahead_s": -1}, ["networks.x.look_ahead_s", "greater than or equal to 0"]),
        ({"base": "whisper-base", "look_ahead_s": 30}, ["networks.x", "look_ahead_s 30 leaves no past in", "29.9 at"]),
        ({"family": "vit", "seed": -1}, ["networks.x.seed", "greater than or equal to 0"]),
    ],
)
def test_networks_of_registry_hub_and_family(lab, network, parts):
    message = refusal(lab, {"x": network})
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"factory": "her_net.py:build"}, ["networks.x.factory", "lab/her_net.py does not exist"]),
        (
            {"factory": "my_net.py"},
            ["networks.x.factory", "'my_net.py'", "FILE.py:function", "package.module:function"],
        ),
        ({"factory": "my_net.py:"}, ["networks.x.factory", "'my_net.py:'"]),
        (
            {"factory": "no_such_package.module:build"},
            ["networks.x", "factory", "'no_such_package.module' is not inst"],
        ),
        ({"factory": "no_such_package:build"}, ["networks.x", "factory", "'no_such_package' is not installed"]),
        ({"weights": "none.pth"}, ["networks.x.weights", "lab/none.pth does not exist"]),
        ({"layers": []}, ["networks.x", "needs layers"]),
        ({"layers": WITHOUT, "modality": WITHOUT}, ["networks.x", "needs modality and layers"]),
        ({"modality": "words"}, ["networks.x.modality", "words"]),
        ({"layers": [{"module": "stem", "sied": "input"}]}, ["networks.x.layers.0", "sied"]),
        ({"layers": [{"name": "stem"}]}, ["networks.x.layers.0", "module"]),
        ({"layers": ["head", {"module": "stem", "name": "head"}]}, ["networks.x", "two layers are called 'head'"]),
        ({"layers": [{"module": "blocks.*", "name": "b"}]}, ["networks.x.layers.0", "name 'b'", "'blocks.*'"]),
        ({"stride_s": 1}, ["networks.x", "stride_s does not apply to modality images"]),
        ({"look_ahead_s": 1}, ["networks.x", "look_ahead_s does not apply to modality images"]),
        ({"n_frames": 4}, ["networks.x", "n_frames does not apply to modality images"]),
        ({"size_px": 0}, ["networks.x.size_px", "greater than or equal to 1"]),
        ({"mean": [0.5, 0.5]}, ["networks.x.mean.2", "is missing"]),
        ({"sd": [0.2, 0.2, 0]}, ["networks.x.sd", "greater than 0"]),
        ({"arguments": [1]}, ["networks.x.arguments", "dictionary"]),
        ({"objective": "great"}, ["networks.x.objective", "'random'"]),
    ],
)
def test_networks_of_ones_own(lab, changes, parts):
    message = refusal(lab, {"x": section(changes)})
    assert all(part in message for part in parts), message


def test_settings_of_sound_and_pictures_exclude_each_other(lab):
    assert "size_px does not apply to modality audio" in refusal(lab, {"x": section({"size_px": 3}, AUDIO)})
    late = refusal(lab, {"x": section({"window_s": 2, "look_ahead_s": 1.95}, AUDIO)})
    assert "look_ahead_s 1.95 leaves no past in a window of 2 s; give 1.9 at most" in late
    plan_study(load_study(lab.write({"x": section({"stride_s": 0.5}, AUDIO)}, "pixels")))


@pytest.mark.parametrize("name", ["my net", "a@random-1", "../x", ".x", ""])
def test_names_that_would_be_read_as_something_else(lab, name):
    message = refusal(lab, {name: OWN})
    assert f"network name '{name}' must be letters" in message and "networks" in message


def test_a_name_that_ends_in_a_line_break_is_refused(lab):
    assert "must be letters" in refusal(lab, {"own\n": OWN})
    assert "unknown model" in refusal(lab, {"own": OWN}, "efficientnet-lite0@random-1\n")
    study = yaml.safe_load(Path(lab.write({}, "pixels")).read_text())
    for changed in ({"study": "mine\n"}, {"analyses": {"cells\n": study["analyses"]["cells"]}}):
        with pytest.raises(ValidationError, match="must be lower case"):
            Study.model_validate({**study, **changed}, context={"folder": lab.folder})


def test_a_name_that_the_registry_has(lab):
    assert "networks: 'pixels' is a network of the registry already" in refusal(lab, {"pixels": OWN})


def test_a_file_that_is_no_python_is_named_with_its_line(lab):
    (lab.folder / "my_net.py").write_text("def build(:\n    pass\n")
    study = plan_study(load_study(lab.write({"own": OWN}))).analyses[0]
    with pytest.raises(LayermapError, match=r"my_net\.py is not valid Python .*line 1") as caught:
        study.models[0].act_key(study.dataset, "stimulus")
    assert "\n" not in str(caught.value)


def test_unknown_networks_and_layers_of_the_models_name_the_closest(lab):
    assert "unknown model 'owm' (closest: 'own')" in refusal(lab, {"own": OWN}, "owm")
    lite = {"lite": {"base": "efficientnet-lite0"}}
    assert "unknown layer of lite 'stage44' (closest: 'stage4')" in refusal(
        lab, lite, {"name": "lite", "layers": ["stage44"]}
    )


def test_a_family_that_is_not_known_is_refused_for_pinned_networks_too(lab, tmp_path, monkeypatch):
    files = [{"name": "model.safetensors", "bytes": 5, "sha256": 64 * "a"}]
    pin = {"revision": 40 * "a", "files": files, "config": {"model_type": "swan"}, "preprocessor": {}}
    (tmp_path / "lock.json").write_text(json.dumps({"a/b": pin}))
    monkeypatch.setenv("LAYERMAP_WEIGHTS_LOCK", str(tmp_path / "lock.json"))
    message = refusal(lab, {"x": {"hub": "a/b"}})
    assert "networks.x.hub" in message and "'swan'" in message


def test_what_is_given_arrives_in_the_entry(lab):
    (lab.folder / "w.pth").write_bytes(b"weights")
    given = {"title": "Title", "citation": "Citation", "licence": "MIT", "objective": "supervised"}
    own = {
        **OWN,
        **given,
        "weights": "w.pth",
        "arguments": {"width": 3},
        "mean": [0, 0.5, 1],
        "input": "pictures",
    }
    found = entries(lab, {"own": own, "lite": {"base": "efficientnet-lite0", "size_px": 100}})
    assert found["own"].preprocessing["size_px"] == SIDE and found["own"].preprocessing["mean"] == [0, 0.5, 1]
    assert {name: getattr(found["own"], name) for name in given} == given
    assert found["own"].arguments["arguments"] == {"width": 3} and found["own"].arguments["input"] == "pictures"
    assert found["own"].code == (lab.folder / "my_net.py",)
    assert found["own"].weights.convert.endswith("convert.checkpoint:convert") and found["own"].weights.bytes == 7
    assert found["lite"].preprocessing["size_px"] == 100 and found["lite"].weights_of == "efficientnet-lite0"


@pytest.mark.parametrize("given", [{"base": "whisper-base"}, {"family": "hubert"}, section({}, AUDIO)])
def test_a_look_ahead_is_stated_and_changes_the_key_and_none_is_as_if_unsaid(lab, given):
    networks = {"plain": given, "none": {**given, "look_ahead_s": 0}, "ahead": {**given, "look_ahead_s": 0.5}}
    made = entries(lab, networks)
    assert made["none"].preprocessing == made["plain"].preprocessing
    assert json.dumps(made["none"].preprocessing) == json.dumps(made["plain"].preprocessing)
    assert made["plain"].preprocessing["look_ahead_s"] == 0 and made["ahead"].preprocessing["look_ahead_s"] == 0.5
    assert made["ahead"].preprocessing["recording"].endswith("of the window that ends look_ahead_s after it")


def checkpoint(lab, model_type="vit", preprocessor=None, **config):
    folder = lab.folder / "ck"
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, **config}))
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return {"own": {"checkpoint": "ck/", "objective": "supervised"}}


@pytest.mark.parametrize("depth", [100_000_000, [1, 100_000_000], -5, 0, 1001, "abc", 1.5, True, None, {"a": 1}, []])
def test_a_depth_that_no_network_has_is_one_line(lab, depth):
    for model_type, key in (("vit", "num_hidden_layers"), ("resnet", "depths"), ("gpt2", "n_layer")):
        said = refusal(lab, checkpoint(lab, model_type, **{key: depth}))
        assert f"networks.own.checkpoint: {key} in the config.json of" in said and "expected" in said
        if model_type != "gpt2":
            said = refusal(lab, {"own": {"family": model_type, "config": {key: depth}}})
            assert f"config.{key} is" in said


def test_depths_that_networks_have_are_taken(lab):
    for n in (1, 1000):
        assert len(entries(lab, checkpoint(lab, num_hidden_layers=n))["own"].layers) == n + 2
    assert len(entries(lab, checkpoint(lab, "resnet", depths=[1, 2]))["own"].layers) == 4
    refusal(lab, checkpoint(lab, "resnet", depths=[1] * 101))


@pytest.mark.parametrize("stated", [[1], "abc", {"a": 1}, [None], 3])
def test_architectures_that_are_no_names_are_one_line(lab, stated):
    assert "architectures in its config.json is" in refusal(lab, checkpoint(lab, architectures=stated))


def test_a_file_of_ones_own_is_to_be_corrected_never_deleted(lab):
    said = refusal(lab, checkpoint(lab, preprocessor=[1]))
    assert "preprocessor_config.json holds list" in said and said.endswith("correct it")
    networks = checkpoint(lab)
    (lab.folder / "ck" / "config.json").write_text("{")
    assert refusal(lab, networks).endswith("correct it")


@pytest.mark.parametrize("kind", ["random_twins", "shuffled_twins"])
def test_more_twins_than_anybody_runs_are_one_line(lab, kind):
    for n in (1001, 100_000_000):
        said = refusal(lab, {"own": OWN}, {"name": "own", kind: n})
        assert kind in said and "1000" in said
