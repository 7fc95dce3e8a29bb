"""Spoken sentences rendered by eSpeak NG, the formant synthesiser shipped by the package ``espeakng-loader``.

The library is driven through ctypes in synchronous mode: nothing is played. It carries state from one
utterance to the next (glottal phase, flutter, random numbers for breath), so every utterance is spoken by a
freshly loaded copy with fixed seeds: the same utterance always gives the same samples.

References
----------
https://github.com/espeak-ng/espeak-ng, ``src/include/espeak-ng/speak_lib.h``.
"""

from __future__ import annotations

import ctypes
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import LayermapError
from pipeline.stimuli.sounds.resampling import resample

if TYPE_CHECKING:
    import numpy as np

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POS_CHARACTER = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_LONGEST_DATA_PATH = 200
"""The library keeps the path of its voices in a fixed buffer and cuts longer ones off in silence."""
_PCM_FULL_SCALE = 32768.0
_SEED = 1


@dataclasses.dataclass(frozen=True)
class Utterance:
    """A text and how it is spoken.

    Parameters
    ----------
    text : words in the voice's language
    voice : an eSpeak NG voice with an optional variant, e.g. ``en`` or ``en+f3``
    words_per_minute : 80–450
    pitch : base pitch, 0–99, 50 is the voice's own
    pitch_range : 0 (monotone) to 99, 50 is the voice's own
    """

    text: str
    voice: str = "en"
    words_per_minute: int = 160
    pitch: int = 50
    pitch_range: int = 50


def render_speech(utterances: Sequence[Utterance], sampling_rate_hz: int = 16_000) -> list[np.ndarray]:
    """Speak each utterance: list of (n_samples,) float32 in ±1 at ``sampling_rate_hz``.

    Raises
    ------
    LayermapError
        The library or its voices are missing, or a voice does not exist.
    """
    return [resample(*_speak(utterance), sampling_rate_hz) for utterance in utterances]


@contextmanager
def _fresh_library() -> Iterator[tuple[ctypes.CDLL, str]]:
    """A copy of the library in its initial state, and the folder of its voices.

    A copy under another name is another library to the loader, so its static variables start anew.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise LayermapError(
            "eSpeak NG is missing (package espeakng-loader), which speaks the simulated stimuli; run: make setup"
        ) from error
    source, data_path = Path(espeakng_loader.get_library_path()), str(espeakng_loader.get_data_path())
    if len(data_path.encode()) > _LONGEST_DATA_PATH:
        raise LayermapError(
            f"{data_path} is longer than the {_LONGEST_DATA_PATH} bytes that eSpeak NG can hold; "
            "move the environment to a shorter path"
        )
    with tempfile.TemporaryDirectory(prefix="layermap-espeak-") as folder:
        try:
            library = ctypes.CDLL(shutil.copyfile(source, Path(folder) / source.name).as_posix())
        except OSError as error:
            raise LayermapError(
                f"{source} cannot be loaded ({error}); install the package espeakng-loader again: make setup"
            ) from error
        try:
            yield library, data_path
        finally:  # a story is a thousand utterances, and each copy holds a megabyte
            ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))


def _speak(utterance: Utterance) -> tuple[np.ndarray, int]:
    """One utterance at the library's own rate: ((n_samples,) float32 in ±1, rate in Hz)."""
    import numpy as np

    pieces: list[np.ndarray] = []

    def collect(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, shape=(count,)).astype(np.float32))
        return 0

    callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    callback = callback_type(collect)
    with _fresh_library() as (library, data_path):
        rate = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path.encode(), _DO_NOT_EXIT)
        if rate <= 0:
            raise LayermapError(
                f"eSpeak NG found no voices in {data_path}; install the package espeakng-loader again: make setup"
            )
        library.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))
        ctypes.CDLL(None).srand(_SEED)
        library.espeak_SetSynthCallback(callback)
        _choose_voice(library, utterance)
        text = utterance.text.encode() + b"\0"
        library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        library.espeak_Synchronize()
        library.espeak_Terminate()
    return np.concatenate([np.zeros(0, np.float32), *pieces]) / _PCM_FULL_SCALE, int(rate)


def _choose_voice(library: ctypes.CDLL, utterance: Utterance) -> None:
    if library.espeak_SetVoiceByName(utterance.voice.encode()) != 0:
        raise LayermapError(f"eSpeak NG has no voice '{utterance.voice}'; take one such as en, en+m3, en+f2, fr or cmn")
    settings = {_RATE: utterance.words_per_minute, _VOLUME: 100, _PITCH: utterance.pitch, _RANGE: utterance.pitch_range}
    for parameter, value in settings.items():
        library.espeak_SetParameter(parameter, value, 0)
