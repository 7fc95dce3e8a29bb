"""Sound as networks hear it: each sample is the last step of its own past, nothing later, nothing padded."""

import dataclasses

import numpy as np
import pytest
import torch

from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.models.hub import network as hub_network
from pipeline.models.hub.known import hub_entry
from pipeline.models.networks import crepe
from pipeline.models.shown.audio_stimuli import scaled_to_rms
from pipeline.models.shown.present_audio import Frames, PaddedSpectrograms, Waveforms, Windows, n_heard
from pipeline.models.torch.hooked_network import HookedNetwork
from pipeline.models.torch.hooks import Tap

RATE_HZ = 16_000
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
CONFIGS = {
    "wav2vec2": {**SIZES, "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2},
    "whisper": {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64},
}


def network_of(family, **shown):
    entry = hub_entry(
        f"small-{family}",
        family,
        CONFIGS[family],
        objective="random",
        title="small",
        citation="—",
        licence="—",
        preprocessing=shown,
    )
    return hub_network.load(entry, None, None, "cpu")


def noise(duration_s, seed=0):
    return np.random.default_rng(seed).standard_normal(round(duration_s * RATE_HZ)).astype(np.float32) * 0.1


@pytest.fixture(scope="module")
def networks():
    return {
        "wav2vec2": network_of("wav2vec2", window_s=2.0, stride_s=0.5),
        "whisper": network_of("whisper", stride_s=1.0),
    }


def last_steps(network, family, past):
    """Layer → (feature,): the network's last output step for a sound by itself, as transformers gives it."""
    with torch.inference_mode():
        if family == "wav2vec2":
            standard = (past - past.mean()) / np.sqrt(past.var() + 1e-7)
            output = network.module(torch.from_numpy(standard)[None], output_hidden_states=True)
            last = -1
        else:
            features = hub_network.log_mel([scaled_to_rms(past, 0.1)])
            output = network.module(features, output_hidden_states=True)
            last = round(past.size / (30 * RATE_HZ) * 1500) - 1
    states = dict(zip(("embedding", "block1"), output.hidden_states, strict=False))
    return {name: state[0, last].numpy() for name, state in states.items()}


@pytest.mark.parametrize("family", CONFIGS)
def test_a_sample_is_the_last_step_of_one_pass_over_its_past(networks, family, sounds_of, all_layers):
    """To the bit where the pass holds one window; sharing a pass changes rounding only."""
    network, sound = networks[family], noise(4.3)
    alone, shared = all_layers(network, sounds_of([sound]), 1), all_layers(network, sounds_of([sound]), 8)
    kind, time_s = network.clock(sounds_of([sound]))
    stride_s, window_s = {"wav2vec2": (0.5, 2.0), "whisper": (1.0, 30.0)}[family]
    assert kind == "time"
    np.testing.assert_allclose(time_s, stride_s * np.arange(1, int(4.3 / stride_s) + 1))
    for index, end_s in enumerate(time_s):
        past = sound[max(0, round((end_s - window_s) * RATE_HZ)) : round(end_s * RATE_HZ)]
        for name, expected in last_steps(network, family, past).items():
            np.testing.assert_array_equal(alone[name][index], expected, err_msg=f"{name} at {end_s} s")
    for name, values in alone.items():
        assert np.abs(values - shared[name]).max() < 1e-5 * values.std(), name


@pytest.mark.parametrize("family", CONFIGS)
def test_sound_to_come_changes_nothing(networks, family, sounds_of, all_layers):
    network, sound = networks[family], noise(4.0)
    changed = np.concatenate([sound[: 2 * RATE_HZ], 3 * noise(2.0, seed=1)])
    time_s = network.clock(sounds_of([sound]))[1]
    before, after = (all_layers(network, sounds_of([one]), 4) for one in (sound, changed))
    for name, values in before.items():
        np.testing.assert_array_equal(values[time_s <= 2], after[name][time_s <= 2], err_msg=name)
        assert (np.abs(values - after[name])[time_s > 2].max(axis=1) > 1e-3 * values.std()).all(), name


@pytest.mark.parametrize("family", CONFIGS)
def test_strides_agree_at_the_times_they_share(family, sounds_of, all_layers):
    shown = {"wav2vec2": {"window_s": 2.0}, "whisper": {}}[family]
    sound = sounds_of([noise(2.4)])
    found, times_s = {}, {}
    for stride_s in (0.2, 1.0) if family == "whisper" else (0.1, 1.0):
        network = network_of(family, stride_s=stride_s, **shown)
        times_s[stride_s] = network.clock(sound)[1]
        found[stride_s] = all_layers(network, sound, 1)
    often, seldom = sorted(found)
    same = np.searchsorted(times_s[often], times_s[seldom] - 1e-9)
    np.testing.assert_allclose(times_s[often][same], [1, 2])
    for name, values in found[seldom].items():
        np.testing.assert_array_equal(values, found[often][name][same], err_msg=name)


def test_windows_of_unequal_length_never_share_a_pass(sounds_of):
    """Each pass holds nothing but sound: as many values as its windows have samples, each window standardised."""
    presenter = Waveforms("net", Windows(RATE_HZ, 1.0, 0.25, 0.1), standardise=True)
    sound = noise(2.6) + 0.3
    passes = list(presenter.passes(sounds_of([sound]), 4))
    assert [one.first for one in passes] == [0, 1, 2, 3, 7]
    assert [tuple(one.inputs["input_values"].shape) for one in passes] == [
        (1, 4000),
        (1, 8000),
        (1, 12000),
        (4, 16000),
        (3, 16000),
    ]
    for one in passes:
        for row, values in enumerate(one.inputs["input_values"].numpy()):
            end = (one.first + row + 1) * 4000
            past = sound[max(0, end - 16000) : end].astype(np.float64)
            np.testing.assert_allclose(values, (past - past.mean()) / past.std(), atol=1e-4)


def test_level_is_left_where_the_network_was_trained_so(sounds_of):
    sound = noise(1.0) + 0.3
    (one,) = Waveforms("net", Windows(RATE_HZ, 1.0, 1.0, 0.1), standardise=False).passes(sounds_of([sound]), 4)
    np.testing.assert_array_equal(one.inputs["input_values"].numpy()[0], sound)


@pytest.mark.parametrize(("stride_s", "n"), [(0.1, 10), (0.3, 3), (1 / 3, 3), (1.0, 1), (0.0625, 15)])
def test_ends_are_multiples_of_the_stride(stride_s, n):
    ends = Windows(RATE_HZ, 0.5, stride_s, 0.1).ends(RATE_HZ)
    last = round(ends[-1] / (stride_s * RATE_HZ))
    assert len(ends) == n and ends[0] >= 0.1 * RATE_HZ and RATE_HZ - stride_s * RATE_HZ < ends[-1] <= RATE_HZ
    assert np.abs(ends - stride_s * RATE_HZ * np.arange(last - n + 1, last + 1)).max() <= 0.5


def test_clips_are_means_over_their_own_steps(networks, sounds_of, all_layers):
    """Sounds of unequal length, with loud rubbish in the artifact beyond each one's end."""
    sounds = [noise(1.0), noise(0.4, 1), noise(0.4, 2), noise(1.7, 3)]
    quiet, loud = (all_layers(networks["wav2vec2"], sounds_of(sounds, padding=p), 8) for p in (0.0, 0.9))
    module = networks["wav2vec2"].module
    for index, sound in enumerate(sounds):
        standard = torch.from_numpy((sound - sound.mean()) / np.sqrt(sound.var() + 1e-7))[None]
        with torch.inference_mode():
            states = module(standard, output_hidden_states=True).hidden_states
        for name, state in zip(("embedding", "block1", "block2"), states, strict=True):
            expected = state[0].mean(dim=0).numpy()
            assert np.abs(quiet[name][index] - expected).max() < 1e-5 * state.std(), name
    for name, values in quiet.items():
        np.testing.assert_array_equal(values, loud[name])


def test_silence_behind_a_clip_never_enters_its_mean(networks, sounds_of, all_layers):
    network, sounds = networks["whisper"], [noise(2.0), noise(0.5, 1)]
    quiet, loud = (all_layers(network, sounds_of(sounds, padding=p), 8) for p in (0.0, 0.9))
    with torch.inference_mode():
        features = hub_network.log_mel([scaled_to_rms(sound, 0.1) for sound in sounds])
        states = network.module(features, output_hidden_states=True).hidden_states
    for name, state in zip(("embedding", "block1"), states, strict=False):
        for index, n_steps in enumerate((100, 25)):
            expected = state[index, :n_steps].mean(dim=0).numpy()
            assert np.abs(quiet[name][index] - expected).max() < 1e-5 * state.std(), name
            all_steps = state[index].mean(dim=0).numpy()
            assert np.abs(quiet[name][index] - all_steps).max() > 0.01 * state.std(), name
    for name, values in quiet.items():
        np.testing.assert_array_equal(values, loud[name])


def test_a_share_of_the_window_is_at_least_a_step():
    assert [n_heard(share, 1500) for share in (1e-6, 0.1 / 30, 0.5, 1.0)] == [1, 5, 750, 1500]


def presenters():
    windows = Windows(RATE_HZ, 1.0, 0.25, 0.1)
    yield Waveforms("net", windows, standardise=True)
    yield PaddedSpectrograms("net", dataclasses.replace(windows, window_s=30), hub_network.log_mel, rms=0.1)
    yield Frames(RATE_HZ, crepe.WINDOW, crepe.HOP, crepe.normalise)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("several", [False, True])
def test_passes_go_on_from_any_sample(number, several, sounds_of):
    """What follows an interruption by lack of memory is what would have come anyway."""
    presenter = list(presenters())[number]
    stimulus = sounds_of([noise(0.5, seed) for seed in range(5)] if several else [noise(2.1)])
    n_samples = len(presenter.clock(stimulus)[1])

    def rows(first, size):
        """One value per sample: what selection makes of the input itself."""
        found = []
        for one in presenter.passes(stimulus, size, first):
            assert one.first == first + len(found)
            values = next(iter(one.inputs.values())) if isinstance(one.inputs, dict) else one.inputs
            values = values[:, None] if values.ndim == 2 else values
            taken = values if one.select is None else one.select(values)
            assert len(taken) == one.n_samples
            found += [float(row.double().mean()) for row in taken]
        return found

    whole = rows(0, 4)
    assert len(whole) == n_samples
    for first, size in ((0, 2), (3, 2), (n_samples - 1, 4)):
        np.testing.assert_allclose(rows(first, size), whole[first:], rtol=0, atol=1e-6)


def test_resampling_looks_ahead_by_less_than_a_millisecond(networks, sounds_of, all_layers):
    generator = np.random.default_rng(0)
    sound = generator.standard_normal(2 * 44_100).astype(np.float32)
    changed = sound.copy()
    changed[44_100 + 44 :] = generator.standard_normal(44_100 - 44)
    before, after = (
        all_layers(networks["wav2vec2"], sounds_of([one], sampling_rate_hz=44_100), 1) for one in (sound, changed)
    )
    for name, values in before.items():
        np.testing.assert_array_equal(values[:2], after[name][:2], err_msg=name)
        assert np.abs(values[2:] - after[name][2:]).max() > 1e-3 * values.std()


class Pooling(torch.nn.Module):
    """Steps, and a head on their mean."""

    def __init__(self):
        super().__init__()
        self.steps, self.head = torch.nn.Conv1d(1, 6, 400, stride=160), torch.nn.Linear(6, 4)

    def forward(self, sound):
        return self.head(self.steps(sound[:, None]).mean(dim=-1))


@pytest.mark.parametrize("several", [False, True])
def test_a_layer_that_has_pooled_its_steps_is_taken_whole(several, sounds_of, all_layers):
    module = Pooling()
    presenter = Waveforms("net", Windows(RATE_HZ, 1.0, 0.5, 0.1), standardise=False, argument="")
    taps = {"steps": Tap("steps"), "head": Tap("head")}
    network = HookedNetwork("net", module, taps, presenter, torch.device("cpu"))
    pieces = [noise(0.5, 0), noise(0.5, 1)]
    if several:
        found = all_layers(network, sounds_of(pieces))
    else:
        found = all_layers(network, sounds_of([np.concatenate(pieces)]))
        pieces[1] = np.concatenate(pieces)
    assert found["steps"].shape == (2, 6)
    with torch.no_grad():
        expected = torch.cat([module(torch.from_numpy(piece)[None]) for piece in pieces]).numpy()
    np.testing.assert_allclose(found["head"], expected, atol=1e-6)


def test_what_cannot_be_heard_is_one_line(networks, sounds_of):
    with pytest.raises(BrokenArtifact, match=r"lasts 0.300 s, less than one stride of 0.5 s; choose a shorter"):
        networks["wav2vec2"].clock(sounds_of([noise(0.3)]))
    with pytest.raises(LayermapError, match=r"has a clip of 2.5 s, but small-wav2vec2 hears 2 s at most"):
        networks["wav2vec2"].clock(sounds_of([noise(2.5), noise(1.0)]))
    with pytest.raises(BrokenArtifact, match=r"has a clip of 0.050 s, but small-wav2vec2 needs 0.1 s; leave it out"):
        networks["wav2vec2"].clock(sounds_of([noise(0.05), noise(1.0)]))


def test_other_sampling_rates_are_brought_to_the_networks(networks, sounds_of, all_layers):
    """A slow sine survives resampling, so what is heard of it does as well."""
    sines = [np.sin(2 * np.pi * 220 * np.arange(2 * rate) / rate).astype(np.float32) for rate in (RATE_HZ, 44_100)]
    given = [sounds_of([sines[0]]), sounds_of([sines[1]], sampling_rate_hz=44_100)]
    one, other = (all_layers(networks["wav2vec2"], stimulus) for stimulus in given)
    np.testing.assert_allclose(networks["wav2vec2"].clock(given[1])[1], [0.5, 1, 1.5, 2])
    for name, values in one.items():
        assert np.abs(values[1:3] - other[name][1:3]).max() < 0.05 * values.std(), name
