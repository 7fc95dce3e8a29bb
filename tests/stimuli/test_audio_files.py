"""Sounds of any format at a network's rate: the same samples block by block, and broken files in one line."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import BrokenArtifact
from pipeline.stimuli.sounds import audio_files
from pipeline.stimuli.sounds.audio_files import read_audio
from pipeline.stimuli.sounds.resampling import reach_s, resample, resample_blocks

EXAMPLES = "raw.githubusercontent.com/Uberi/speech_recognition/0a675d1e5232dbeae1be8d071c923fb37f0f163a/examples"


def noise(n: int, *channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n, *channels)).astype(np.float32)


@pytest.mark.mirror
@pytest.mark.parametrize(("name", "duration_s"), [("chinese.flac", 0.96), ("english.wav", 2.74), ("french.aiff", 2.53)])
def test_real_recordings_are_read_whole(name: str, duration_s: float, mirror: Path) -> None:
    path = mirror / EXAMPLES / name
    sound = read_audio(path)
    samples, rate_hz = soundfile.read(path, always_2d=True)
    assert sound.dtype == np.float32 and abs(sound.size / 16_000 - duration_s) < 0.02
    np.testing.assert_allclose(sound, resample(samples.mean(axis=1), rate_hz, 16_000), atol=1e-6)
    native = read_audio(path, sampling_rate_hz=rate_hz)
    np.testing.assert_allclose(native, samples.mean(axis=1), atol=1e-7)


@settings(deadline=None, max_examples=40)
@given(
    rates=st.sampled_from([(44_100, 16_000), (48_000, 16_000), (16_000, 16_000), (8_000, 16_000), (22_050, 16_000)]),
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=8),
)
def test_blocks_give_what_the_whole_gives(rates: tuple[int, int], sizes: list[int]) -> None:
    sound = noise(sum(sizes))
    blocks = np.split(sound, np.cumsum(sizes)[:-1])
    np.testing.assert_allclose(
        np.concatenate(list(resample_blocks(blocks, *rates))), resample(sound, *rates), atol=1e-6
    )


@pytest.mark.parametrize("from_hz", [44_100, 48_000, 8_000])
def test_the_filter_reaches_no_further_than_it_says(from_hz: int) -> None:
    sound, changed = noise(from_hz), noise(from_hz)
    changed[from_hz // 2 :] += 0.3
    differ = np.flatnonzero(resample(sound, from_hz, 16_000) != resample(changed, from_hz, 16_000))
    assert 0 < 0.5 - differ[0] / 16_000 <= reach_s(from_hz, 16_000)
    assert reach_s(from_hz, 16_000) == 10 / min(from_hz, 16_000) and reach_s(16_000, 16_000) == 0


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "ogg"])
def test_formats_and_channels(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stereo at 44.1 kHz, in blocks that do not divide it."""
    monkeypatch.setattr(audio_files, "_BLOCK_SAMPLES", 7001)
    path = tmp_path / f"sound.{suffix}"
    soundfile.write(path, noise(50_000, 2), 44_100)
    written = soundfile.read(path, dtype="float32")[0]
    sound = read_audio(path, sampling_rate_hz=16_000)
    assert sound.shape == (-(-50_000 * 160 // 441),)
    np.testing.assert_allclose(sound, resample(written.mean(axis=1), 44_100, 16_000), atol=1e-6)


def test_a_long_recording_never_lies_in_memory_whole(tmp_path: Path) -> None:
    """Ten minutes of stereo are 423 MB in double precision; the result takes 38 MB, twice while it is joined."""
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 44_100, 2) as sound:
        for minute in range(10):
            sound.write(noise(60 * 44_100, 2, seed=minute))
    tracemalloc.start()
    try:
        n_samples = read_audio(path).size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_samples == 10 * 60 * 16_000 and peak < 120e6


def _cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff"])
@pytest.mark.parametrize("share", [0.5, 0.999])
def test_a_file_that_was_cut_short_is_one_line(suffix: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"sound.{suffix}"
    soundfile.write(path, noise(60_000, 2), 44_100)
    _cut(path, share)
    with pytest.raises(
        BrokenArtifact, match=r"sound\.\w+ (is cut short|cannot be read as sound).*; fetch it anew"
    ) as e:
        read_audio(path, remedy="fetch it anew")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html><body>403</body></html>", "is a web page, no sound"),
        (b"\n<html>", "is a web page, no sound"),
        (b"../../.git/annex/objects/X3/k9/MD5E-s1--ab.wav/MD5E-s1--ab.wav", "is the pointer that git keeps"),
        (b"/annex/objects/MD5E-s53--d9.wav\n", "is the pointer that git keeps"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is the pointer that git keeps"),
        (b"", r"is empty \(0 bytes\), no sound"),
        (b"nothing of the kind", r"cannot be read as sound \(Format not recognised\.?\)"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "cannot be read as sound"),
    ],
)
def test_what_is_no_sound_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "story.wav"
    path.write_bytes(content)
    with pytest.raises(BrokenArtifact, match=rf"story\.wav {message}.*; delete it and run: snakemake fetch") as error:
        read_audio(path)
    assert "\n" not in str(error.value)


def test_missing_silent_and_senseless_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match=r"none\.wav is missing; delete it"):
        read_audio(tmp_path / "none.wav")
    soundfile.write(tmp_path / "empty.wav", noise(0), 44_100)
    with pytest.raises(BrokenArtifact, match=r"empty\.wav holds no sound \(0 samples\)"):
        read_audio(tmp_path / "empty.wav")
    soundfile.write(tmp_path / "nan.wav", np.array([0, np.nan], np.float32), 44_100, "FLOAT")
    with pytest.raises(BrokenArtifact, match=r"nan\.wav holds samples that are no numbers"):
        read_audio(tmp_path / "nan.wav")


def test_sound_of_unknown_length_is_read_to_its_end(tmp_path: Path) -> None:
    """Programs that write into a pipe leave the header's lengths open."""
    path = tmp_path / "piped.wav"
    soundfile.write(path, noise(1000), 16_000)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[4:8] = content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert read_audio(path).size == 1000
