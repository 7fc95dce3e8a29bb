"""What is refused of sound files, what is only said, and that each is read to its own resolution."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.core.errors import BrokenArtifact
from pipeline.stimuli.file_remarks import Notes
from pipeline.stimuli.sounds.audio_files import read_audio, read_sound, read_sounds, sound_duration_s
from pipeline.stimuli.sounds.compressed import mp3_samples
from tests.stimuli.sound_bytes import RATE_HZ, chunk, extensible, form, noise, pcm16, wav

SOUND = noise(20_000)
DATA = pcm16(SOUND)
FMT = chunk(b"fmt ", form())
UPPER_24 = (np.round(SOUND * 2**31).astype("<i4") >> 8) << 8


def read(path: Path) -> tuple[np.ndarray, int]:
    return read_sound(path, Notes(), remedy="save it anew")


def refusal(path: Path) -> str:
    with pytest.raises(BrokenArtifact) as caught:
        read(path)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{path} ".rstrip())
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (wav(FMT, chunk(b"data", DATA, len(DATA) + 100)), ["is cut short: 40,000 of 40,100 bytes"]),
        (wav(chunk(b"fmt ", form(rate_hz=0)), chunk(b"data", DATA)), ["cannot be read as sound"]),
        (wav(chunk(b"fmt ", form(rate_hz=1)), chunk(b"data", DATA)), ["states 1 samples per second"]),
        (wav(chunk(b"fmt ", form(rate_hz=10_000_000)), chunk(b"data", DATA)), ["10,000,000 samples per second"]),
        (
            wav(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 32_000, 2, 16)), chunk(b"data", DATA)),
            ["8,000 samples of 2 bytes per second, but 32,000 bytes per second (16,000 samples)"],
        ),
        (wav(FMT, chunk(b"data", DATA, 0)), ["states 0 bytes of sound and holds 40,000", "never finished"]),
        (wav(FMT, chunk(b"data", DATA, 2_000)), ["goes on for 38,000 bytes after the sound"]),
        (wav(FMT, chunk(b"data", DATA, 1_999)), ["goes on for 38,00", "no chunk"]),
        (wav(FMT, chunk(b"data", DATA), chunk(b"data", DATA)), ["has the chunk 'data' twice"]),
        (wav(chunk(b"fmt ", form(rate_hz=8000)), FMT, chunk(b"data", DATA)), ["has the chunk 'fmt' twice"]),
        (wav(FMT, chunk(b"data", b"")), ["holds no sound (0 samples)"]),
        (wav(FMT), ["cannot be read as sound"]),
        (
            wav(chunk(b"fmt ", form(bits=24, frame_bytes=4)), chunk(b"data", UPPER_24.tobytes())),
            ["24 bits and 4 bytes", "save it anew with 24 bits"],
        ),
        (
            wav(chunk(b"fmt ", extensible(24, 32)), chunk(b"data", (UPPER_24 >> 8).tobytes())),
            ["lower ones", "256 times too quiet"],
        ),
        (
            wav(chunk(b"fmt ", form(bits=12)), chunk(b"data", (np.round(SOUND * 2**15).astype("<i2") >> 4).tobytes())),
            ["16 times too quiet"],
        ),
        (
            wav(chunk(b"fmt ", form(3, bits=32)), chunk(b"data", (SOUND * 2**15).astype("<f4").tobytes())),
            ["reaches 16,38", "within ±1", "16-bit integers", "32,768"],
        ),
        (
            wav(chunk(b"fmt ", form(3, bits=64)), chunk(b"data", (SOUND * 2**23).astype("<f8").tobytes())),
            ["24-bit integers", "8,388,608"],
        ),
        (
            wav(chunk(b"fmt ", form(3, bits=32)), chunk(b"data", (SOUND * 2.4).astype("<f4").tobytes())),
            ["reaches 1.", "scale it down"],
        ),
        (
            wav(chunk(b"fmt ", form(3, bits=32)), chunk(b"data", np.r_[SOUND, np.inf].astype("<f4").tobytes())),
            ["are no numbers (NaN or infinite)"],
        ),
        (b"\xff\xfe" + "no sound".encode("utf-16-le") * 500, ["cannot be read as sound"]),
        (np.random.default_rng(3).bytes(100_000), ["cannot be read as sound"]),
        (
            wav(
                chunk(b"ds64", bytes(8) + (99_999).to_bytes(8, "little") + bytes(12)),
                FMT,
                chunk(b"data", DATA, 2**32 - 1),
                kind=b"RF64",
            ),
            ["40,000 of 99,999 bytes"],
        ),
        (
            b".snd" + b"".join(n.to_bytes(4, "big") for n in (24, 50_000, 3, RATE_HZ, 1)) + DATA,
            ["40,000 of 50,000 bytes"],
        ),
        (
            b"NIST_1A\n   1024\nsample_rate -i 16000\nchannel_count -i 1\nsample_n_bytes -i 2\nsample_count -i 30000\n"
            b"sample_byte_format -s2 01\nsample_sig_bits -i 16\nsample_coding -s3 pcm\nend_head\n".ljust(1024)
            + DATA,
            ["40,000 of 60,000 bytes"],
        ),
    ],
)
def test_headers_and_samples_that_are_wrong_are_one_line(content: bytes, parts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(content)
    line = refusal(path)
    for part in parts:
        assert part in line, line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (wav(FMT, chunk(b"data", DATA)), None),
        (wav(FMT, chunk(b"data", DATA), chunk(b"LIST", b"INFOmade by a test")), None),
        (wav(chunk(b"LIST", b"INFO1", 5) + b"\0", FMT, chunk(b"data", DATA)), None),
        (wav(FMT, chunk(b"data", DATA)) + b"TAG".ljust(128), None),
        (wav(FMT, chunk(b"data", DATA)) + bytes(10_000), "that the header does not count follow the sound"),
        (wav(FMT, chunk(b"data", DATA)) + b"a few bytes", "that the header does not count follow the sound"),
        (wav(FMT, chunk(b"data", DATA, 0xFFFFFFFF)), "the header states no length"),
        (wav(FMT, chunk(b"data", DATA, 0x7FFFF000)), "the header states no length"),
        (wav(FMT, chunk(b"data", DATA, 0x7FFFFFFF)), "the header states no length"),
        (wav(FMT, chunk(b"data", DATA, 0x80000000)), "the header states no length"),
        (wav(FMT, chunk(b"data", DATA, 0xFFFFFFFF - 44)), "the header states no length"),
        (wav(chunk(b"fmt ", extensible(24, 32)), chunk(b"data", UPPER_24.tobytes())), None),
        (wav(chunk(b"fmt ", extensible(0, 32)), chunk(b"data", UPPER_24.tobytes())), None),
        (wav(chunk(b"fmt ", form(3, bits=32)), chunk(b"data", (SOUND * 2.04).astype("<f4").tobytes())), None),
    ],
)
def test_headers_that_are_unusual_are_read_whole(
    content: bytes, said: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, notes = tmp_path / "sound.wav", Notes()
    path.write_bytes(content)
    samples, rate_hz = read_sound(path, notes)
    notes.say()
    err = capsys.readouterr().err
    assert rate_hz == RATE_HZ and (err == "" if said is None else said in err and err.count("\n") == 1)
    scale = 2.04 if np.abs(samples).max() > 0.9 else 1.0
    np.testing.assert_allclose(samples, scale * SOUND, atol=2**-15)


def test_odd_numbers_of_bytes_with_and_without_padding(tmp_path: Path) -> None:
    """8-bit sound of odd length: programs forget the byte that fills up, or a chunk follows without it."""
    data = bytes(np.random.default_rng(0).integers(0, 256, 10_001, dtype=np.uint8))
    head = chunk(b"fmt ", form(bits=8))
    for tail in (b"", b"\0", b"\0" + chunk(b"LIST", b"INFO"), chunk(b"LIST", b"INFO")):
        (tmp_path / "odd.wav").write_bytes(wav(head, chunk(b"data", data) + tail))
        samples, _ = read(tmp_path / "odd.wav")
        np.testing.assert_array_equal(samples, (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128)


@pytest.mark.parametrize(
    ("container", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 2**-7),
        ("WAV", "PCM_24", 2**-23),
        ("WAV", "PCM_32", 2**-24),
        ("WAV", "FLOAT", 0),
        ("WAVEX", "PCM_16", 2**-15),
        ("WAV", "ALAW", 0.02),
        ("WAV", "ULAW", 0.02),
        ("RF64", "PCM_16", 2**-15),
        ("AIFF", "PCM_24", 2**-23),
        ("AU", "PCM_16", 2**-15),
        ("NIST", "PCM_16", 2**-15),
        ("FLAC", "PCM_24", 2**-23),
        ("OGG", "VORBIS", None),
        ("OGG", "OPUS", None),
        ("MP3", "MPEG_LAYER_III", None),
    ],
)
def test_every_format_by_its_contents_whole_and_cut(
    container: str, subtype: str, tolerance: float | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever its name ends in; nothing is said about a whole file, and any cut one is refused."""
    path, rate_hz = tmp_path / "sound.wav", 48_000 if subtype == "OPUS" else 44_100
    tone = (0.8 * np.sin(np.arange(2 * rate_hz) / 20)).astype(np.float32)
    soundfile.write(path, tone, rate_hz, format=container, subtype=subtype)
    samples, found_hz = read(path)
    assert found_hz == rate_hz and samples.size == tone.size and not capfd.readouterr().err
    if tolerance is None:
        assert np.corrcoef(samples[2000:-2000], tone[2000:-2000])[0, 1] > 0.99
    else:
        np.testing.assert_allclose(samples, tone, atol=tolerance)
    assert sound_duration_s(path) == 2.0
    whole = path.read_bytes()
    for n_bytes in (len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:n_bytes])
        assert "cut short" in (line := refusal(path)) or "cannot be read as sound" in line


@pytest.mark.parametrize(
    ("container", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("FLAC", "PCM_16")]
)
def test_compressed_sound_that_was_altered_is_refused(container: str, subtype: str, tmp_path: Path) -> None:
    """Decoders pass over what they cannot decode, and all that follows comes too early."""
    path = tmp_path / "sound"
    soundfile.write(path, noise(96_000), 48_000, format=container, subtype=subtype)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    path.write_bytes(content)
    assert any(said in refusal(path) for said in ("damaged", "cut short", "cannot be read as sound"))


def test_mp3_without_stated_length_and_with_tags(tmp_path: Path) -> None:
    """Without the frame that states the length, libsndfile takes it from the size and stops there."""
    path, bare = tmp_path / "sound.mp3", tmp_path / "bare.mp3"
    tag = b"ID3\x04\0\0" + bytes([0, 0, 1, 72]) + bytes(200)
    for mode, said in (("CONSTANT", ""), ("VARIABLE", "does not state its length")):
        soundfile.write(path, noise(100_000), 44_100, format="MP3", bitrate_mode=mode, compression_level=0.5)
        content = path.read_bytes()
        assert read(path)[0].size == 100_000
        second = content.index(content[:2], 100)
        bare.write_bytes(tag + content[second:] + b"TAG".ljust(128))
        if said:
            assert said in refusal(bare)
        else:
            samples, _ = read(bare)
            assert abs(samples.size - 100_000) <= 4 * 1152 and sound_duration_s(bare) == samples.size / 44_100
        bare.write_bytes(content[second:-30])
        assert "is cut short: its last MP3 frame lacks bytes" in refusal(bare)


def test_mp3_that_was_cut_between_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp3"
    soundfile.write(path, noise(100_000), 44_100, format="MP3", bitrate_mode="CONSTANT", compression_level=0.5)
    content, whole = path.read_bytes(), mp3_samples(path, "")
    assert whole is not None and 0 <= whole - 100_000 < 4 * 1152
    frame_bytes = content.index(content[:3], 200)
    path.write_bytes(content[: 40 * frame_bytes])
    assert "cut short" in refusal(path)


def test_flac_of_unstated_length_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "piped.flac"
    soundfile.write(path, noise(30_000), 44_100)
    content = bytearray(path.read_bytes())
    content[18:26] = (int.from_bytes(content[18:26], "big") & ~((1 << 36) - 1)).to_bytes(8, "big")
    path.write_bytes(content)
    assert "states no length of its sound" in refusal(path)


def test_formats_that_cannot_be_checked_are_refused_by_name(tmp_path: Path) -> None:
    for container in ("W64", "CAF", "MAT5"):
        soundfile.write(tmp_path / "sound.wav", noise(1000), RATE_HZ, format=container, subtype="PCM_16")
        assert f"is {container}, of which it cannot be seen" in refusal(tmp_path / "sound.wav")


@pytest.mark.parametrize("gain", [-1.0, -0.4])
def test_channels_that_cancel_are_refused(gain: float, tmp_path: Path) -> None:
    """An inverted channel; a constant offset or a little noise does not hide it."""
    rng = np.random.default_rng(1)
    inverted = gain * SOUND + 0.2 + 0.01 * rng.standard_normal(SOUND.size)
    soundfile.write(tmp_path / "stereo.wav", np.c_[SOUND, inverted], RATE_HZ, subtype="PCM_16")
    line = refusal(tmp_path / "stereo.wav")
    assert "channels 1 and 2 cancel each other (r = -1.00)" in line and "save one of them as mono" in line


def test_three_channels_that_cancel_together_are_refused(tmp_path: Path) -> None:
    one, two = noise(20_000, seed=1) / 2, noise(20_000, seed=2) / 2
    soundfile.write(tmp_path / "three.wav", np.c_[one, two, -one - two], RATE_HZ, subtype="PCM_16")
    assert "cancel each other" in refusal(tmp_path / "three.wav")


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        (np.c_[SOUND, noise(20_000, seed=1)], None),
        (np.c_[SOUND, SOUND], None),
        (np.c_[SOUND, 0 * SOUND], "channel 2 of 2 is silent, so the mean has 50% of the level"),
        (np.c_[SOUND, SOUND, SOUND, 0 * SOUND, 0 * SOUND], "channel 4, 5 of 5 is silent, so the mean has 60%"),
        (noise(20_000, 6), "its 6 channels are averaged"),
        (np.r_[SOUND, np.zeros(2 * RATE_HZ)], "its last 2 s are one value"),
        (np.r_[SOUND[:4000], np.full(9000, 0.25)], "its last 0.562 s are one value"),
        (np.r_[SOUND, np.zeros(RATE_HZ // 2)], None),
        (SOUND / 32768, "it reaches only 2e-05 of full scale"),
    ],
)
def test_what_is_odd_about_a_sound_is_said_and_it_is_read(
    channels: np.ndarray, said: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sound.wav"
    soundfile.write(path, channels, RATE_HZ, subtype="FLOAT")
    samples = read_audio(path)
    np.testing.assert_allclose(samples, channels.reshape(len(channels), -1).mean(axis=1), atol=1e-6)
    err = capsys.readouterr().err
    assert err == "" if said is None else err.startswith(f"warning: {path}: {said}") and err.count("\n") == 1


def test_a_folder_is_said_in_one_line_per_kind_and_all_silent_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f"{number}.wav" for number in range(4)]
    for number, path in enumerate(paths):
        soundfile.write(path, np.c_[SOUND, 0 * SOUND] if number else np.zeros((9, 2)), RATE_HZ)
    sounds, rate_hz = read_sounds(paths)
    assert [sound.size for sound in sounds] == [9, *[SOUND.size] * 3] and rate_hz == RATE_HZ
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"warning: {paths[0]}: all samples are equal: it is silent",
        f"warning: {paths[1]} (and 2 more like it): channel 2 of 2 is silent, so the mean has 50% of the level",
    ]
    with pytest.raises(BrokenArtifact, match=r"0\.wav is silent: all samples are equal"):
        read_audio(paths[0])
    soundfile.write(paths[1], np.full(100, 0.5), RATE_HZ)
    with pytest.raises(BrokenArtifact, match=r"0\.wav \(as the 1 others\) is silent"):
        read_sounds(paths[:2])
    soundfile.write(paths[1], SOUND, 8000)
    with pytest.raises(BrokenArtifact, match=r"1\.wav has 8000 samples per second and 0\.wav 16000"):
        read_sounds(paths)


def test_what_a_lossy_decoder_overshoots_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "loud.mp3"
    soundfile.write(path, np.sign(noise(50_000)) * 0.999, 44_100, format="MP3")
    assert 1.05 < np.abs(read(path)[0]).max() < 4
