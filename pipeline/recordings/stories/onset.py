"""Comparing auditory cortex with the loudness of a sound while a recording is written: did it begin when one thinks?"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.recordings.verified import FETCH_AGAIN

if TYPE_CHECKING:
    import numpy as np

    from pipeline.artifacts.recording import RecordingParts

AUDITORY = "Heschl"
ENVELOPE_HZ = 10
SAMPLING_RATE_HZ = 16_000


def watch_onset(parts: RecordingParts, sound: Path, what: str, remedy: str) -> RecordingParts:
    """The same recording, which will state in ``onset_check`` whether its sound fits better at another lag.

    A warning is also printed. The response is the mean over all listeners' targets in Heschl's gyrus.

    Parameters
    ----------
    sound : that the listeners heard
    what : the recording, for the message
    remedy : which option sets the onset
    """
    watch = _Watch(parts, sound, what, remedy)
    return dataclasses.replace(parts, blocks=watch.blocks(), closing_attrs=watch.closing_attrs)


@dataclasses.dataclass
class _Watch:
    parts: RecordingParts
    sound: Path
    what: str
    remedy: str
    total: np.ndarray | None = None

    def blocks(self) -> Iterator[np.ndarray]:
        """The blocks as they are; what they hold of auditory cortex is added up."""
        region, subject = self.parts.header["region"].values, self.parts.header["subject"].values
        done = 0
        for block in self.parts.blocks:
            here = slice(done, done + block.shape[2])
            auditory = (region[here] == AUDITORY) & (subject[here] != "mean")
            if auditory.any():
                heard = block[0][:, auditory].sum(axis=1, dtype="float64")
                self.total = heard if self.total is None else self.total + heard
            done = here.stop
            yield block

    def closing_attrs(self) -> dict[str, Any]:
        attrs = dict(self.parts.closing_attrs())
        if self.total is None or not self.total.any():
            return attrs | {"onset_check": f"onset of the sound not checked: no responses of {AUDITORY}"}
        header = self.parts.header
        from pipeline.recordings.bold.onset_check import check_onset

        found = check_onset(
            loudness(self.sound),
            ENVELOPE_HZ,
            self.total,
            header["time_s"].values,
            sample_interval_s=float(header.attrs["sample_interval_s"]),
            high_pass_s=float(header.attrs["high_pass_s"]),
            what=self.what,
        )
        if found.warns:
            print(f"warning: {found.sentence}; {self.remedy}", file=sys.stderr, flush=True)
        return attrs | {"onset_check": found.sentence, "onset_lag_s": found.best_lag_s, "onset_warns": int(found.warns)}


def loudness(sound: Path) -> np.ndarray:
    """(n,) RMS of a sound in steps of 0.1 s."""
    import numpy as np

    from pipeline.stimuli.sounds.audio_files import read_audio

    samples = read_audio(sound, sampling_rate_hz=SAMPLING_RATE_HZ, remedy=FETCH_AGAIN)
    step = SAMPLING_RATE_HZ // ENVELOPE_HZ
    steps = samples[: samples.size // step * step].reshape(-1, step)
    return np.asarray(np.sqrt(np.square(steps, dtype=np.float64).mean(axis=1)))
