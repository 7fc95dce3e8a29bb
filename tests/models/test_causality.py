"""No audio model hears beyond a sample's own time, to the bit; with a look-ahead it hears so far and no further."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.models.baselines import audio_baselines
from pipeline.models.entry import ModelEntry, Network
from pipeline.models.hub import network as hub_network
from pipeline.models.hub import own_network
from pipeline.models.hub.families import FAMILIES
from pipeline.models.hub.known import hub_entry
from pipeline.models.hub.packaged import WHISPER_BASE
from pipeline.models.networks import crepe
from pipeline.models.registry import MODELS
from pipeline.models.shown.present_audio import Frames, PaddedSpectrograms, Windows, n_before
from pipeline.models.torch.hooked_network import HookedNetwork
from pipeline.models.torch.hooks import Tap
from pipeline.stimuli.sounds.resampling import reach_s
from pipeline.study.network_entries import entries_of
from pipeline.study.networks import NetworkSection

pytestmark = pytest.mark.slow

RATE_HZ = 16_000
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SOUND = {**SIZES, "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
CONFIGS = {
    "wav2vec2": SOUND,
    "hubert": SOUND,
    "wavlm": SOUND,
    "data2vec-audio": {**SOUND, "conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 2},
    "whisper": {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64},
}
SHOWN = {"waveforms": {"window_s": 2.0, "stride_s": 0.25}, "spectrograms": {"stride_s": 0.5}}
FACTORY = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = torch.nn.Conv1d(1, 8, 400, stride=160)
        self.context = torch.nn.LSTM(8, 8, batch_first=True, bidirectional=True)

    def forward(self, sound):
        return self.context(self.steps(sound[:, None]).relu().transpose(1, 2))


def build():
    return Net()
"""


def family_network(family: str, **shown: float) -> Network:
    entry = hub_entry(
        f"small-{family}",
        family,
        CONFIGS[family],
        objective="random",
        title="small",
        citation="—",
        licence="—",
        preprocessing={**SHOWN[FAMILIES[family].shown], **shown},
    )
    return hub_network.load(entry, None, None, "cpu")


def factory_network(folder: Path, **shown: float) -> Network:
    """A network with factory, bidirectional: only its window can keep it from hearing what is to come."""
    (folder / "net.py").write_text(FACTORY)
    section = NetworkSection.model_validate(
        {
            "factory": "net.py:build",
            "modality": "audio",
            "layers": ["steps", {"module": "context", "select": "0", "tokens": True}],
            **SHOWN["waveforms"],
            **shown,
        },
        context={"folder": folder},
    )
    entry = entries_of(SimpleNamespace(networks={"net": section}))["net"]
    return own_network.load(entry, None, None, "cpu")


def crepe_network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = crepe.build_module()
    presenter = Frames(RATE_HZ, crepe.WINDOW, crepe.HOP, crepe.normalise)
    taps = {"conv1": Tap("pool1"), "pitch": Tap("classifier")}
    return HookedNetwork("crepe-tiny", module, taps, presenter, torch.device("cpu"))


def small_whisper(**shown: float) -> Network:
    """The registry's Whisper-base as it is shown sound, but of narrow blocks without weights."""
    narrow = {"d_model": 32, "encoder_attention_heads": 2, "encoder_ffn_dim": 64}
    arguments = {**WHISPER_BASE.arguments, "config": {**WHISPER_BASE.arguments["config"], **narrow}}
    preprocessing = {**WHISPER_BASE.preprocessing, "stride_s": 0.5, **shown}
    entry = dataclasses.replace(WHISPER_BASE, weights=None, arguments=arguments, preprocessing=preprocessing)
    return hub_network.load(entry, None, None, "cpu")


BUILT = {
    **{family: lambda family=family, **_: family_network(family) for family in CONFIGS},
    "factory": lambda tmp_path, **_: factory_network(tmp_path),
    "crepe-tiny": lambda **_: crepe_network(),
    "whisper-base": lambda **_: small_whisper(),
    "log-mel": lambda **_: audio_baselines.LogMel(),
    "spectrogram-modulation": lambda **_: audio_baselines.SpectrogramModulation(),
}
HEAR_NO_SOUND = {
    "category": "labels of clips, for items only",
    "sound-power": "a regressor of the dataset, on its own clock",
}


def noise(duration_s: float, seed: int = 0, rate_hz: int = RATE_HZ) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(duration_s * rate_hz)).astype(np.float32)


def replaced_after(sound: np.ndarray, time_s: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    n_kept = round(time_s * rate_hz)
    return np.concatenate([sound[:n_kept], 3 * noise(sound.size / rate_hz, 1, rate_hz)[n_kept:]])


def stand_in(entry: ModelEntry) -> str:
    """What of `BUILT` stands for a model of the registry."""
    return str(entry.arguments["family"]) if entry.factory == "pipeline.models.hub.network:load" else entry.name


@pytest.mark.parametrize("name", [name for name in MODELS if "audio" in MODELS.get(name).modalities])
def test_every_audio_model_of_the_registry_is_tested_here(name: str) -> None:
    assert (stand_in(MODELS.get(name)) in BUILT) != (name in HEAR_NO_SOUND)


def test_every_audio_family_is_tested_here() -> None:
    assert {name for name, family in FAMILIES.items() if "audio" in family.modalities} == set(CONFIGS)


@pytest.mark.parametrize("name", BUILT)
def test_sound_after_a_sample_changes_nothing(name, sounds_of, all_layers, tmp_path) -> None:
    network = BUILT[name](tmp_path=tmp_path)
    sound = noise(4.0)
    clock_s = network.clock(sounds_of([sound]))[1]
    before = all_layers(network, sounds_of([sound]))
    for time_s in (1.0, 2.0, 3.5):
        past = clock_s <= time_s + 1e-9
        assert past.any() and not past.all()
        after = all_layers(network, sounds_of([replaced_after(sound, time_s)]))
        for layer, values in before.items():
            np.testing.assert_array_equal(values[past], after[layer][past], err_msg=f"{layer}, {time_s} s")
            changed = np.abs(values - after[layer])[~past].reshape((~past).sum(), -1).max(axis=1)
            assert (changed > 0).all(), f"{layer} does not hear its own time"


AHEAD = {
    **{family: lambda s, family=family, **_: family_network(family, look_ahead_s=s) for family in CONFIGS},
    "factory": lambda s, tmp_path, **_: factory_network(tmp_path, look_ahead_s=s),
    "whisper-base": lambda s, **_: small_whisper(look_ahead_s=s),
}


@pytest.mark.parametrize("name", AHEAD)
def test_a_look_ahead_is_heard_so_far_and_no_further(name, sounds_of, all_layers, tmp_path) -> None:
    network = AHEAD[name](0.3, tmp_path=tmp_path)
    sound, time_s = noise(4.0), 2.25
    clock_s = network.clock(sounds_of([sound]))[1]
    step = 0.25 if name not in ("whisper", "whisper-base") else 0.5
    np.testing.assert_allclose(clock_s, step * np.arange(1, round(4.0 / step) + 1))  # up to the end
    before, after = (all_layers(network, sounds_of([one])) for one in (sound, replaced_after(sound, time_s)))
    unheard, ahead = clock_s + 0.3 <= time_s, (clock_s <= time_s) & (clock_s + 0.3 > time_s)
    assert unheard.any() and ahead.any()
    for layer, values in before.items():
        np.testing.assert_array_equal(values[unheard], after[layer][unheard], err_msg=layer)
    deepest = list(before)[-1]  # it attends to, or remembers, all of the window
    changed = np.abs(before[deepest] - after[deepest])[ahead].reshape(ahead.sum(), -1).max(axis=1)
    assert (changed > 0).all()


@pytest.mark.parametrize("name", AHEAD)
def test_no_look_ahead_is_what_there_was_without_the_setting(name, sounds_of, all_layers, tmp_path):
    network = AHEAD[name](0.0, tmp_path=tmp_path)
    plain = BUILT[name](tmp_path=tmp_path)
    stimulus = sounds_of([noise(1.6)])
    for layer, values in all_layers(plain, stimulus).items():
        np.testing.assert_array_equal(values, all_layers(network, stimulus)[layer])


def test_a_sample_with_look_ahead_is_the_step_at_its_time(sounds_of, all_layers) -> None:
    """Window by window: 2 s that end 0.3 s later, or with the recording; the step up to the sample's own share."""
    network, sound = family_network("wav2vec2", look_ahead_s=0.3), noise(3.1)
    found = all_layers(network, sounds_of([sound]), 1)["block1"]
    clock_s = network.clock(sounds_of([sound]))[1]
    for index, time_s in enumerate(clock_s):
        end = round(time_s * RATE_HZ)
        start = max(0, end + 4800 - 2 * RATE_HZ)
        window = sound[start : end + 4800]
        standard = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
        with torch.inference_mode():
            states = network.module(torch.from_numpy(standard)[None], output_hidden_states=True).hidden_states[1][0]
        step = n_before((end - start) / window.size, len(states)) - 1
        np.testing.assert_array_equal(found[index], states[step].numpy(), err_msg=f"{time_s} s")
        ends_s = (320 * step + 400) / RATE_HZ + start / RATE_HZ
        assert time_s - 0.03 < ends_s < time_s + 0.005


def test_whisper_with_look_ahead_takes_the_step_up_to_the_sample(sounds_of) -> None:
    """A spectrogram of 3000 steps that say which they are; 50 steps of output per second."""

    def numbered(sounds):
        return torch.arange(1500.0).expand(len(sounds), 1, 1500).clone()

    presenter = PaddedSpectrograms("net", Windows(RATE_HZ, 30, 0.5, 0.1, 1.25), numbered, rms=None)
    steps = [
        float(value)
        for one in presenter.passes(sounds_of([noise(31.0)]), 8)
        for value in one.select(one.inputs["input_features"]).ravel()
    ]
    own_s = np.minimum(0.5 * np.arange(1, 63), 30 - 1.25)
    np.testing.assert_array_equal(steps, np.floor(own_s * 50 + 1e-6) - 1)


def test_other_rates_are_resampled_before_and_reach_ahead_by_the_filter_alone(sounds_of, all_layers) -> None:
    """44.1 kHz: 0.625 ms, which is 10 samples at 16 kHz."""
    rate_hz, reach = 44_100, reach_s(44_100, RATE_HZ)
    assert reach == 0.000625
    network, sound = family_network("hubert"), noise(2.0, 0, rate_hz)
    changed = replaced_after(sound, 1.0 + reach, rate_hz)
    before, after = (all_layers(network, sounds_of([one], sampling_rate_hz=rate_hz)) for one in (sound, changed))
    past = network.clock(sounds_of([sound], sampling_rate_hz=rate_hz))[1] <= 1.0
    for layer, values in before.items():
        np.testing.assert_array_equal(values[past], after[layer][past], err_msg=layer)
