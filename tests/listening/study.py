"""The three datasets as their servers have them, small: names from the real lists, contents with planted layers.

Real where the mirror has them: file lists, participants, exclusions, events, annotations, the atlas. The preprocessed
images, sounds and the events that the mirror lacks are made here, in the true formats.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
import soundfile

from pipeline.recordings.bold.options import BoldOptions
from pipeline.recordings.bold.parcellation.atlases import atlas_files
from pipeline.recordings.stories import alice_bold, narratives, petit_prince
from pipeline.simulated.sound_sequence import compose_sound
from pipeline.stimuli.sounds.audio_files import read_audio
from tests.conftest import MIRROR
from tests.listening.planted import SAMPLING_RATE_HZ, Cortex, Volume, listener_scan, planted_signals, write_gifti
from tests.listening.server import Contents, ListedRow, ListeningServer, listed_rows

GITHUB = MIRROR / "raw.githubusercontent.com"
COMMITS = {
    "ds002345": "8a5af4022cdd78ed4263fc9b226c065e108bb24a",
    "ds002322": "5642f45d9c1997f9fe825f698b6f20fa94e6df29",
}
FSAVERAGE6 = 40_962
EVENTS_ROWS = {"piemanpni": (12.0, 400.0), "bronx": (12.0, 536.0), "black": (12.0, 800.0), "forgot": (12.0, 837.0)}
"""Story → onset and duration in its events.tsv, in s: files that are not in the mirror."""


def real_rows(dataset: str) -> dict[str, ListedRow]:
    """The complete real list of a dataset: path → row."""
    return {row.path: row for row in listed_rows(MIRROR, dataset)}


def real_file(dataset: str, path: str) -> bytes | None:
    """Contents of a small file of a dataset, where the mirror has it."""
    file = GITHUB / "OpenNeuroDatasets" / dataset / COMMITS.get(dataset, "") / path
    return file.read_bytes() if file.is_file() else None


def serve_atlas(server: ListeningServer) -> Cortex:
    """The real Destrieux annotations, and which region each vertex shows."""
    paths = []
    for file in atlas_files(BoldOptions(kind="")):
        address = file.url.removeprefix("https://")
        paths.append(MIRROR / address)
        server.add_file(address, paths[-1])
    return Cortex.read((paths[0], paths[1]))


def make_sound(path: Path, duration_s: float, seed: int, sampling_rate_hz: int, n_channels: int) -> np.ndarray:
    """Write a WAV; returns what layermap hears of it at 16 kHz."""
    from scipy.signal import resample_poly

    sound = compose_sound(duration_s, seed).astype(np.float64) / 32768
    ratio = np.gcd(sampling_rate_hz, SAMPLING_RATE_HZ)
    sound = resample_poly(sound, sampling_rate_hz // ratio, SAMPLING_RATE_HZ // ratio)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack([sound] * n_channels, axis=1), sampling_rate_hz, subtype="PCM_16")
    return read_audio(path)


@dataclasses.dataclass(frozen=True)
class Scanned:
    """When a story was heard in a scan.

    Parameters
    ----------
    audio_start_s : after the first volume of the image began
    """

    audio_start_s: float
    repetition_time_s: float
    n_volumes: int

    def instants_s(self) -> np.ndarray:
        """Middles of the volumes on the clock of the sound."""
        return (np.arange(self.n_volumes) + 0.5) * self.repetition_time_s - self.audio_start_s


def serve_narratives(
    server: ListeningServer, folder: Path, stories: Mapping[str, float], limit: int, seed: int
) -> None:
    """Stories → length of their sounds in s; listeners are the first that heard all of them.

    Parameters
    ----------
    seed : of the network that everybody's cortex reads out
    """
    cortex = serve_atlas(server)
    files: dict[str, Contents] = dict(real_rows("ds002345"))
    files["participants.tsv"] = real_file("ds002345", "participants.tsv") or b""
    exclusions = GITHUB / narratives.EXCLUSIONS.url.partition("raw.githubusercontent.com/")[2]
    server.add_file(f"raw.githubusercontent.com/{exclusions.relative_to(GITHUB)}", exclusions)
    for number, (story, duration_s) in enumerate(stories.items()):
        path = folder / f"{story}_audio.wav"
        sound = make_sound(path, duration_s, number, 22_050, 2)
        files[f"stimuli/{story}_audio.wav"] = path
        for listener, scan in enumerate(heard_all(files, stories, exclusions)[:limit]):
            stem = next(stem for stem in scan if f"_task-{story}" in stem)
            subject = stem.partition("_")[0]
            raw = f"{subject}/func/{stem}"
            events = real_file("ds002345", f"{raw}_events.tsv") or written_events(story)
            files[f"{raw}_events.tsv"] = events
            # one listener was scanned with a TR of 1.52 s, as 17 of the real ones were
            tr = 1.52 if listener == 1 else 1.5
            files[f"{raw}_bold.json"] = json.dumps({"RepetitionTime": tr, "TaskName": story}).encode()
            start_s = float(events.decode().splitlines()[1].split("\t")[0])
            scanned = Scanned(start_s, tr, int((duration_s + start_s) / tr) + 8)
            responses = listener_scan(planted_signals(sound, seed, scanned.instants_s()), listener + 10 * number)
            for side, hemisphere in enumerate("LR"):
                name = f"{stem}_space-fsaverage6_hemi-{hemisphere}_desc-clean.func.gii"
                image = folder / name
                write_gifti(image, cortex.on_surface(responses, side, FSAVERAGE6))
                address = f"datasets.datalad.org/labs/hasson/narratives/derivatives/afni-nosmooth/{subject}/func/{name}"
                server.add_file(address, image)
    server.add_snapshot("ds002345", "1.1.4", files)


def heard_all(files: Mapping[str, Contents], stories: Sequence[str] | Mapping[str, float], exclusions: Path) -> list:
    """Starts of the names of the scans of each listener who heard all stories: the first usable one of each."""
    excluded = {
        s for subjects in json.loads(exclusions.read_text()).values() for scans in subjects.values() for s in scans
    }
    found: dict[str, dict[str, str]] = {}
    for path in sorted(files):
        name = re.fullmatch(r"(sub-\d+)/func/(sub-\d+_task-([A-Za-z0-9]+)(?:_run-\d+)?)_bold\.nii\.gz", path)
        if name and name[3] in stories and name[2] not in excluded:
            found.setdefault(name[1], {}).setdefault(name[3], name[2])
    return [tuple(scans.values()) for scans in found.values() if len(scans) == len(stories)]


def written_events(story: str) -> bytes:
    onset, duration = EVENTS_ROWS[story]
    rows = ["onset\tduration\ttrial_type\tstim_file", f"{onset}\t{duration}\tstory\t{story}_audio.wav"]
    return ("\n".join(rows) + "\n").encode()


def serve_petit_prince(
    server: ListeningServer, folder: Path, section: int, limit: int, left: int, right: Mapping[str, int]
) -> None:
    """One section in each language; only its images and those of the first listeners can be fetched.

    Parameters
    ----------
    left : seed of the network that everybody's left hemisphere reads out
    right : language → seed of the network that its listeners' right hemisphere reads out
    """
    volume = Volume(serve_atlas(server))
    files: dict[str, Contents] = dict(real_rows("ds003643"))
    sections = petit_prince.sections_of(dict.fromkeys(files))  # type: ignore[arg-type]
    for number, (language, network) in enumerate(right.items()):
        n_volumes = petit_prince.N_VOLUMES[language][section - 1]
        path = folder / f"{language}.wav"
        sound = make_sound(path, n_volumes * petit_prince.TR_S, 20 + number, 16_000, 1)
        files[petit_prince.SOUND_OF[language].format(section)] = path
        instants_s = Scanned(0.0, petit_prince.TR_S, n_volumes).instants_s()
        sides = [planted_signals(sound, seed, instants_s) for seed in (left, network)]
        for listener, images in enumerate(list(sections[language].values())[:limit]):
            image = folder / Path(images[section - 1]).name
            scans = (listener_scan(signals, 100 * number + listener) for signals in sides)
            nibabel.save(volume.image(*scans, petit_prince.TR_S), image)
            files[images[section - 1]] = image
    server.add_snapshot("ds003643", "2.0.7", files)


def serve_alice(server: ListeningServer, folder: Path, limit: int, seed: int) -> None:
    """Whole-brain images with the real onsets of the sound, and the real words."""
    volume = Volume(serve_atlas(server))
    files: dict[str, Contents] = dict(real_rows("ds002322"))
    files[alice_bold.WORDS] = real_file("ds002322", alice_bold.WORDS) or b""
    path = folder / "alice.wav"
    sound = make_sound(path, 748.0, 40, 44_100, 1)
    files[alice_bold.SOUND] = path
    images = [name for name in sorted(files) if name.endswith("_bold_preprocessed.nii.gz")]
    for name in sorted(files):
        if name.endswith(("_events.tsv", "_bold.json")):
            files[name] = real_file("ds002322", name) or files[name]
    for listener, name in enumerate(images[:limit]):
        subject = name.split("/")[1]
        events = files[f"{subject}/{subject}_task-alice_events.tsv"]
        onset_s = float(next(csv.DictReader(io.StringIO(events.decode()), delimiter="\t"))["onset"])  # type: ignore[union-attr]
        scanned = Scanned(onset_s - alice_bold.N_DROPPED * alice_bold.TR_S, 2.0, 362)
        image = folder / Path(name).name
        scan = listener_scan(planted_signals(sound, seed, scanned.instants_s()), listener)
        nibabel.save(volume.image(scan, scan, alice_bold.TR_S), image)
        files[name] = image
    server.add_snapshot("ds002322", "1.0.4", files)
