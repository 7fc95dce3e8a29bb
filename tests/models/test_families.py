"""Every family of the library: layers are its own hidden states, to the bit, and its checkpoints load strictly."""

import dataclasses
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from pipeline.core.errors import BrokenArtifact, LayermapError, UnknownName
from pipeline.models.calibration import calibration_stimulus
from pipeline.models.convert.checkpoint import save_weights, write_config
from pipeline.models.entry import ModelEntry, Twin
from pipeline.models.hub import known as hub_models
from pipeline.models.hub import network as hub_network
from pipeline.models.hub.families import FAMILIES, family_of
from pipeline.models.hub.known import hub_entry
from pipeline.models.hub.network import build_module, load_checkpoint, load_part
from pipeline.models.registry import MODELS

pytestmark = pytest.mark.slow

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
PICTURES = {**SIZES, "image_size": 32, "patch_size": 8}
MAPS = {"hidden_sizes": [8, 16, 32, 64], "depths": [1, 2, 1, 1]}
SOUND = {**SIZES, "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
VOCABULARY = 300
CONFIGS = {
    "vit": PICTURES,
    "dinov2": PICTURES,
    "vit_mae": {**PICTURES, "mask_ratio": 0.75, "decoder_num_hidden_layers": 1},
    "data2vec-vision": {**PICTURES, "use_shared_relative_position_bias": False, "use_relative_position_bias": True},
    "resnet": {**MAPS, "embedding_size": 8},
    "convnext": {**MAPS, "layer_scale_init_value": 0.5},
    "videomae": {**PICTURES, "num_frames": 4, "tubelet_size": 2, "decoder_num_hidden_layers": 1},
    "wav2vec2": SOUND,
    "hubert": SOUND,
    "wavlm": SOUND,
    "data2vec-audio": {**SOUND, "num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 3},
    "whisper": {
        "d_model": 32,
        "encoder_layers": 3,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 64,
        "vocab_size": VOCABULARY,
        "pad_token_id": 0,
    },
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 2, "vocab_size": VOCABULARY, "n_positions": 128},
    "llama": {**SIZES, "num_key_value_heads": 2, "vocab_size": VOCABULARY},
}
SHOWN = {
    "pictures": {"size_px": 32},
    "clips": {"size_px": 32},
    "waveforms": {"window_s": 2.0},
    "spectrograms": {"stride_s": 2.0},
    "words": {"window_tokens": 60, "stride_tokens": 30},
}
N_SAMPLES = {"pictures": 5, "clips": 5, "waveforms": 5, "spectrograms": 2, "words": 90}
HEADS = {
    "vit": "ViTForImageClassification",
    "dinov2": "Dinov2ForImageClassification",
    "vit_mae": "ViTMAEForPreTraining",
    "data2vec-vision": "Data2VecVisionForImageClassification",
    "resnet": "ResNetForImageClassification",
    "convnext": "ConvNextForImageClassification",
    "videomae": "VideoMAEForPreTraining",
    "wav2vec2": "Wav2Vec2ForPreTraining",
    "hubert": "HubertForCTC",
    "wavlm": "WavLMForCTC",
    "data2vec-audio": "Data2VecAudioForCTC",
    "whisper": "WhisperForConditionalGeneration",
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
}


def entry_of(family, config=None, *, preprocessing=None, tokenizer=None, hub="") -> ModelEntry:
    return hub_entry(
        f"small-{family}",
        family,
        config or CONFIGS[family],
        hub=hub,
        objective="random",
        title="small",
        citation="—",
        licence="—",
        preprocessing={**SHOWN[FAMILIES[family].shown], **(preprocessing or {})},
        arguments={"tokenizer": str(tokenizer)} if tokenizer else {},
    )


def stimulus_of(shown):
    """The first few samples of the calibration stimulus."""
    n = N_SAMPLES[shown]
    if shown == "pictures":
        return calibration_stimulus("images").isel(image=slice(0, n))
    if shown == "clips":
        return calibration_stimulus("movie").isel(frame=slice(10, 10 + n))
    if shown == "words":
        return calibration_stimulus("words").isel(word=slice(0, n))
    sound = calibration_stimulus("audio").isel(sample=slice(0, 5 * 16_000))
    return sound.assign(n_samples=("clip", [5 * 16_000]))


def hidden_states(network, one):
    """(the library's hidden states, its last hidden state), as (n, position, feature) or (n, channel, y, x)."""
    with torch.inference_mode():
        output = network.module(**one.inputs, output_hidden_states=True)
    return output.hidden_states, output.last_hidden_state


def test_there_is_a_small_network_of_every_family():
    assert set(CONFIGS) == set(HEADS) == set(FAMILIES)
    with pytest.raises(UnknownName, match=r"unknown family of 'x/y' 'vitt' \(closest: 'vit'\); .* added with factory:"):
        family_of("vitt", "'x/y'")


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_the_librarys_hidden_states_to_the_bit(family, tokenizer_folder, all_layers):
    entry = entry_of(family, tokenizer=tokenizer_folder)
    network = hub_network.load(entry, None, None, "cpu")
    shown = FAMILIES[family].shown
    stimulus = stimulus_of(shown)
    names = [layer.name for layer in entry.layers]
    depths = [layer.relative_depth for layer in entry.layers]
    assert depths == sorted(set(depths)) and (depths[0], depths[-1]) == (0, 1)
    assert list(network.taps) == names

    found = all_layers(network, stimulus, 2)
    n_samples = {"waveforms": 5, "spectrograms": 2}.get(shown, N_SAMPLES[shown])
    assert all(len(values) == n_samples and np.isfinite(values).all() for values in found.values())

    one = next(iter(network.presenter.passes(stimulus, 2)))
    taken = network.run(dataclasses.replace(one, select=None), names, lambda layer, values, n_prefix: values.clone())
    states, last = hidden_states(network, one)
    states = list(states)
    if FAMILIES[family].tokens:
        taken = {name: values.transpose(1, 2) for name, values in taken.items()}
    if family in ("resnet", "convnext"):  # the library gives the embedding and each stage's last block
        ends = np.cumsum([0, *entry.arguments["config"]["depths"]])
        wanted = {("embedding" if end == 0 else f"block{end}"): state for end, state in zip(ends, states, strict=True)}
    else:
        assert len(states) == 4
        wanted = dict(zip(["embedding", "block1", "block2", "block3"], states, strict=True))
    if "norm" in names:
        assert torch.equal(taken["norm"], last)
        if torch.equal(states[-1], last):  # the library has the final norm behind its last state
            del wanted["block3"]
            norm = network.module.get_submodule(FAMILIES[family].norm)
            with torch.inference_mode():
                assert torch.equal(norm(taken["block3"]), last)
    for name, expected in wanted.items():
        assert torch.equal(taken[name], expected), name
    assert min(float(taken[name].std()) for name in names) > 0
    for first, second in itertools.combinations(names, 2):  # no two layers are the same module
        assert not torch.equal(taken[first], taken[second]), (first, second)


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
def test_networks_that_norm_before_each_block_give_their_blocks_unnormed(family):
    config = {**CONFIGS[family], "do_stable_layer_norm": True, "feat_extract_norm": "layer"}
    network = hub_network.load(entry_of(family, config), None, None, "cpu")
    one = next(iter(network.presenter.passes(stimulus_of("waveforms"), 2)))
    whole = dataclasses.replace(one, select=None)
    taken = network.run(whole, list(network.taps), lambda layer, values, n_prefix: values.transpose(1, 2).clone())
    states, last = hidden_states(network, one)
    for name, expected in zip(["embedding", "block1", "block2"], states, strict=False):
        assert torch.equal(taken[name], expected), name
    with torch.inference_mode():
        assert torch.equal(network.module.encoder.layer_norm(taken["block3"]), last)


def test_a_masked_autoencoder_sees_the_whole_picture_in_its_own_order(all_layers):
    """Against the library's own embedding without masking; each patch stays at its place."""
    network = hub_network.load(entry_of("vit_mae"), None, None, "cpu")
    stimulus = stimulus_of("pictures")
    embedding = all_layers(network, stimulus, 5)["embedding"]
    assert embedding.shape == (5, 32, 1 + 16)
    one = next(iter(network.presenter.passes(stimulus, 5)))
    embed = network.module.embeddings
    with torch.inference_mode():
        patches = embed.patch_embeddings(one.inputs["pixel_values"]) + embed.position_embeddings[:, 1:]
    np.testing.assert_array_equal(embedding[:, :, 1:], patches.transpose(1, 2).numpy())


def test_convolutional_networks_take_pictures_of_any_size(all_layers):
    for family in ("resnet", "convnext"):
        network = hub_network.load(entry_of(family, preprocessing={"size_px": 97}), None, None, "cpu")
        assert all_layers(network, stimulus_of("pictures"))["block5"].shape[2] in (3, 4)


def test_a_seed_makes_the_network_and_leaves_torchs_own(all_layers):
    torch.manual_seed(3)
    drawn = torch.rand(3)
    torch.manual_seed(3)
    modules = [build_module(FAMILIES["vit"], CONFIGS["vit"], seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(3), drawn)
    first, again, other = (dict(module.named_parameters()) for module in modules)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["layers.0.mlp.fc1.weight"], other["layers.0.mlp.fc1.weight"])


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("vit", {"hidden_act": "gleu"}, "a vit network cannot be built from its config .*gleu"),
        ("resnet", {"depths": "many"}, "a resnet network cannot be built from its config .*'depths'.* 'many'"),
        ("llama", {"num_attention_heads": 0}, "a llama network cannot be built from its config .ZeroDivisionError"),
        ("hubert", {"num_conv_pos_embedding_groups": 3}, "a hubert network .* divisible by groups"),
    ],
)
def test_a_configuration_that_cannot_be_is_one_line(family, change, message):
    with pytest.raises(LayermapError, match=message) as error:
        build_module(FAMILIES[family], {**CONFIGS[family], **change})
    assert "\n" not in str(error.value)


def checkpoint_of(family, folder, seed=0):
    """A checkpoint as it is published: of the model with its head; returns the part that layermap runs."""
    torch.manual_seed(seed)
    config = getattr(transformers, FAMILIES[family].config)(**CONFIGS[family])
    whole = getattr(transformers, HEADS[family])(config).eval()
    with torch.no_grad():  # as after training: nothing is at its initial value
        for tensor in (*whole.parameters(), *(one for one in whole.buffers() if one.is_floating_point())):
            tensor.add_(0.01 * torch.rand_like(tensor))
    whole.save_pretrained(folder)
    return whole.model.encoder if family == "whisper" else getattr(whole, whole.base_model_prefix)


@pytest.mark.parametrize("family", FAMILIES)
def test_published_checkpoints_load_strictly(family, tmp_path):
    saved = checkpoint_of(family, tmp_path).state_dict()
    loaded = load_checkpoint(FAMILIES[family], tmp_path, "net").state_dict()
    assert len(loaded) > 10
    for name, values in loaded.items():
        if name.startswith(FAMILIES[family].optional_weights or ("\0",)) and name not in saved:
            continue
        torch.testing.assert_close(values, saved[name], rtol=0, atol=0, msg=name)


LACKING = {
    "vit": r"layer\.1\.attention.*weight",
    "whisper": r"encoder\.layers\.1\.fc1\.bias",
    "resnet": r"stages\.1\..*running_mean",
    "llama": r"layers\.0\.mlp\.up_proj",
    "wavlm": r"layers\.2\.attention.*k_proj\.weight",
}


@pytest.mark.parametrize("family", LACKING)
def test_a_checkpoint_that_lacks_a_tensor_is_one_line(family, tmp_path):
    checkpoint_of(family, tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    name = next(key for key in state if re.search(rf"({LACKING[family]})", key))
    save_file({key: values for key, values in state.items() if key != name}, path, {"format": "pt"})
    with pytest.raises(BrokenArtifact, match=r"lacks 1 tensors of net .* snakemake fetch") as error:
        load_checkpoint(FAMILIES[family], tmp_path, "net")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("family", ["whisper", "llama"])
def test_the_part_of_a_network_that_a_package_holds_is_loaded_strictly(family, tmp_path):
    part = build_module(FAMILIES[family], CONFIGS[family], seed=1)
    write_config(CONFIGS[family], tmp_path)
    save_weights(part.state_dict(), tmp_path)
    loaded = dict(load_part(FAMILIES[family], tmp_path, "net").named_parameters())
    assert len(loaded) > 10
    for name, values in part.named_parameters():
        torch.testing.assert_close(loaded[name], values, rtol=0, atol=0, msg=name)
        assert loaded[name].requires_grad == values.requires_grad, f"{name}: twins redraw what was trained, no more"
    state = part.state_dict()
    first = min(state)
    for damaged in ({**state, "head": torch.ones(3)}, {name: state[name] for name in state if name != first}):
        save_weights(damaged, tmp_path)
        with pytest.raises(BrokenArtifact, match=r"does not hold the tensors of net .* snakemake fetch"):
            load_part(FAMILIES[family], tmp_path, "net")
    (tmp_path / "config.json").unlink()
    with pytest.raises(BrokenArtifact, match=r"config\.json does not exist; .* snakemake fetch"):
        load_part(FAMILIES[family], tmp_path, "net")


@pytest.mark.parametrize("damage", ["cut", "shape", "json", "absent"])
def test_a_damaged_checkpoint_is_one_line(damage, tmp_path):
    checkpoint_of("vit", tmp_path)
    path = tmp_path / "model.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    elif damage == "shape":
        state = load_file(path)
        save_file({**state, "vit.layernorm.weight": torch.ones(31)}, path, {"format": "pt"})
    elif damage == "json":
        (tmp_path / "config.json").write_text("{")
    else:
        path.unlink()
    with pytest.raises(BrokenArtifact, match="snakemake fetch") as error:
        load_checkpoint(FAMILIES["vit"], tmp_path, "net")
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


@pytest.fixture
def published(tmp_path):
    """An entry with a hub name, and the folder that fetch would have left for it."""
    checkpoint_of("vit", tmp_path)
    stated = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "do_normalize": True, "size": 32}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stated))
    return entry_of("vit", hub="someone/vit"), tmp_path


def test_a_fetched_checkpoint_is_run_with_its_own_weights(published, all_layers):
    entry, folder = published
    stimulus = stimulus_of("pictures")
    trained = all_layers(hub_network.load(entry, folder, None, "cpu"), stimulus)
    whole = transformers.ViTForImageClassification.from_pretrained(folder).eval()
    one = next(iter(hub_network.load(entry, folder, None, "cpu").presenter.passes(stimulus, 8)))
    with torch.no_grad():
        states = whole.vit(**one.inputs, output_hidden_states=True).hidden_states
    np.testing.assert_allclose(trained["block2"], states[2].transpose(1, 2).numpy(), rtol=0, atol=1e-6)
    for kind in ("random", "shuffled"):
        twin = all_layers(hub_network.load(entry, folder, Twin(kind, 0), "cpu"), stimulus)
        assert np.abs(twin["block2"] - trained["block2"]).max() > 0.1 * trained["block2"].std()


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (
            {"image_mean": [0.485, 0.456, 0.406]},
            r"image_mean \[0.485, .*, but is shown mean .*give it mean",
        ),
        ({"image_std": [0.5, 0.5, 0.25]}, r"trained with image_std \[0.5, 0.5, 0.25\] .*, but is shown sd"),
    ],
)
def test_a_checkpoint_with_another_preprocessing_is_one_line(published, stated, message):
    entry, folder = published
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **stated}))
    with pytest.raises(LayermapError, match=message) as error:
        hub_network.load(entry, folder, None, "cpu")
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_a_sound_checkpoint_that_standardises_otherwise_is_one_line(tmp_path):
    checkpoint_of("wav2vec2", tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": false, "sampling_rate": 16000}')
    with pytest.raises(LayermapError, match=r"trained with do_normalize False .*, but is shown standardise True"):
        hub_network.load(entry_of("wav2vec2", hub="someone/wav2vec2"), tmp_path, None, "cpu")
    hub_network.load(
        entry_of("wav2vec2", hub="someone/wav2vec2", preprocessing={"standardise": False}), tmp_path, None, "cpu"
    )


def test_a_broken_preprocessing_file_is_one_line(published):
    entry, folder = published
    (folder / "preprocessor_config.json").write_text("[")
    with pytest.raises(BrokenArtifact, match=r"preprocessor_config\.json is not JSON .*; delete"):
        hub_network.load(entry, folder, None, "cpu")


def test_weights_that_were_not_fetched_are_one_line(tmp_path):
    with pytest.raises(BrokenArtifact, match=r"weights of small-vit are missing .* snakemake fetch"):
        hub_network.load(entry_of("vit", hub="someone/vit"), tmp_path, None, "cpu")


def test_a_checkpoint_with_other_layers_than_its_entry_is_one_line(published):
    entry, folder = published
    deeper = dataclasses.replace(entry_of("vit", {**CONFIGS["vit"], "num_hidden_layers": 12}), hub=entry.hub)
    with pytest.raises(LayermapError, match=r"small-vit has 5 layers by its own config\.json, 14 by its entry"):
        hub_network.load(deeper, folder, None, "cpu")


@pytest.mark.parametrize(
    ("family", "size_px", "message"),
    [
        ("vit", 30, "takes patches of 8 px, which do not divide size_px: 30; take 24 or 32"),
        ("vit", 5, "takes patches of 8 px, which do not divide size_px: 5; take 8 or 8"),
        ("vit", 40, "has positions for pictures of 32 px only, not for size_px: 40; take 32"),
        ("videomae", 64, "has positions for pictures of 32 px only, not for size_px: 64; take 32"),
        ("dinov2", 33, "takes patches of 8 px, which do not divide size_px: 33; take 32 or 40"),
    ],
)
def test_a_size_that_the_network_cannot_take_is_one_line(family, size_px, message):
    with pytest.raises(LayermapError, match=f"small-{family} {message}"):
        hub_network.load(entry_of(family, preprocessing={"size_px": size_px}), None, None, "cpu")


def test_positions_of_dinov2_are_stretched_to_other_sizes(all_layers):
    network = hub_network.load(entry_of("dinov2", preprocessing={"size_px": 48}), None, None, "cpu")
    assert all_layers(network, stimulus_of("pictures"))["norm"].shape == (5, 32, 1 + 36)


def test_a_language_model_without_its_tokenizer_is_one_line(tmp_path):
    with pytest.raises(BrokenArtifact, match=r"small-gpt2 cannot read words: no tokenizer\.json is beside its weights"):
        hub_network.load(entry_of("gpt2", tokenizer=tmp_path), None, None, "cpu")


SMOLLM2 = {
    "hidden_size": 576,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
}
PUBLISHED: dict[str, dict] = {
    "videomae-base": {"use_mean_pooling": False},
    "dinov2-small": {"patch_size": 14, "image_size": 518, "hidden_size": 384, "num_attention_heads": 6},
    "dinov2-base": {"patch_size": 14, "image_size": 518},
    "whisper-tiny": {"d_model": 384, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536},
    "whisper-base": {"d_model": 512, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048},
    "whisper-small": {"d_model": 768, "encoder_attention_heads": 12, "encoder_ffn_dim": 3072},
    "smollm2-135m": SMOLLM2,
    "smollm2-135m-base": SMOLLM2,
}
"""Where the published configuration differs from the library's default."""
OF_A_FAMILY = [name for name in MODELS if "family" in MODELS.get(name).arguments]


@pytest.mark.parametrize("name", OF_A_FAMILY)
def test_parameters_are_those_of_the_published_architecture(name):
    entry = MODELS.get(name)
    family = FAMILIES[entry.arguments["family"]]
    with torch.device("meta"):
        module = build_module(family, {**entry.arguments["config"], **PUBLISHED.get(name, {})})
    n = sum(values.numel() for values in module.parameters())
    if entry.parameters:
        assert n == entry.parameters
    assert entry.factory == hub_models.FACTORY
    for module_name in family.block_names(module.config.to_dict()):
        module.get_submodule(module_name)
    assert family.layers(module.config.to_dict()) == entry.layers


@pytest.mark.parametrize("model_type", ["wav2vec2", "hubert", "wavlm"])
def test_large_speech_networks_have_a_norm_of_their_own(model_type):
    family = FAMILIES[model_type]
    assert [layer.name for layer in family.layers({"num_hidden_layers": 2})] == ["embedding", "block1", "block2"]
    large = {"num_hidden_layers": 2, "do_stable_layer_norm": True}
    assert [layer.name for layer in family.layers(large)][-1] == "norm"
    assert hub_network.taps_of(family, large)["norm"].module == "encoder.layer_norm"


def test_tokenizers_that_mark_words_themselves_are_refused(tmp_path):
    from tokenizers import Tokenizer, models, normalizers

    tokenizer = Tokenizer(models.BPE({"▁": 0, "▁one": 1, "<|endoftext|>": 2}, [], unk_token="▁"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(LayermapError, match="small-llama: its tokenizer does not read a text word by word"):
        hub_network.load(entry_of("llama", tokenizer=tmp_path), None, None, "cpu")


KERNELS = """
import pathlib
class _Any:
    def __init__(self, *given, **named): pass
    def __call__(self, *given, **named): return given[0] if given else self
    def __getattr__(self, name): return _Any()
def get_kernel(name, *given, **named):
    pathlib.Path({trace!r}).write_text(str(name))
    raise RuntimeError("a kernel was asked for")
def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (_Any,), {{}})
"""
BUILD = """
import sys
from pathlib import Path
from pipeline.models.hub.families import FAMILIES
from pipeline.models.hub.network import build_module, load_checkpoint, read_json
import transformers
from transformers.utils import is_kernels_available
assert is_kernels_available()
for folder in sorted(Path(sys.argv[1]).iterdir()):
    module = load_checkpoint(FAMILIES[folder.name], folder, "small")
    print(module.config._attn_implementation, module.dtype)
module = build_module(FAMILIES["llama"], read_json(Path(sys.argv[1]) / "llama" / "config.json"))
print(module.config._attn_implementation, module.dtype)
"""


def test_a_checkpoint_makes_the_library_fetch_no_code(tmp_path):
    """With the package that fetches code from the hub installed, in a process of its own."""
    code = "kernels-community/flash-attn"
    asked = {"dtype": "float16", "torch_dtype": "float16", "quantization_config": {"quant_method": "mxfp4"}}
    asked |= {"attn_implementation": code, "_attn_implementation": code, "_attn_implementation_internal": code}
    for family in ("vit", "whisper", "llama"):
        config = getattr(transformers, FAMILIES[family].config)(**CONFIGS[family])
        file = tmp_path / "nets" / family / "config.json"
        getattr(transformers, HEADS[family])(config).save_pretrained(file.parent)
        file.write_text(json.dumps(json.loads(file.read_text()) | asked))
    trace, packages = tmp_path / "trace", tmp_path / "packages"
    about = packages / "kernels-0.18.2.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text("Name: kernels\nVersion: 0.18.2\n")
    (packages / "kernels").mkdir()
    (packages / "kernels" / "__init__.py").write_text(KERNELS.format(trace=str(trace)))
    path = os.pathsep.join([str(packages), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path / "nets")],
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert not trace.exists()
    assert done.stdout.splitlines() == ["sdpa torch.float32"] * 4, done.stderr


def test_a_checkpoint_runs_with_the_librarys_own_default(tmp_path):
    """The same attention as without the settings that are left out."""
    for family in FAMILIES:
        config = getattr(transformers, FAMILIES[family].config)(**CONFIGS[family])
        getattr(transformers, HEADS[family])(config).save_pretrained(tmp_path / family)
        module = load_checkpoint(FAMILIES[family], tmp_path / family, family)
        default = getattr(transformers, HEADS[family]).from_pretrained(tmp_path / family)
        assert module.config._attn_implementation == default.config._attn_implementation


def test_stages_keep_the_library_offline():
    asked = "import pipeline.study.cli as c; c.main(['models']); from huggingface_hub import constants as k"
    command = [sys.executable, "-c", f"{asked}; assert k.HF_HUB_OFFLINE"]
    subprocess.run(command, check=True, env={**os.environ, "HF_HUB_OFFLINE": "0"}, stdout=subprocess.DEVNULL)
