"""What a reader is warned of: simulated or shuffled responses, clocks, order of samples, equal items, empty samples."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core.prose import listed
from pipeline.report.read_scores import Misaligned, ScoresContents
from pipeline.report.study_facts import DatasetFacts, StudyFacts
from pipeline.report.wording import number
from pipeline.stimuli.repeated.alike import DOUBTS

RESYNTHESISED = "Stimuli resynthesised by eSpeak NG from word timings."
ONSET_ADVICE = "check the start of the audio"  # what a recording's sentence ends with if its check warns
MANY = 0.05
"""Share of samples without features from which the page says so: a scan may begin before the sound and end after it."""


def notices(study: StudyFacts, misaligned: Sequence[str] = ()) -> list[str]:
    """What a reader must know before anything else.

    Parameters
    ----------
    misaligned : analyses whose checks of alignment warned
    """
    found = []
    if study.simulated:
        found.append(
            "These are simulations: the responses on this page were computed, with known answers planted in them; "
            "no brain was recorded."
        )
    if study.shuffle_seed is not None:
        found.append(
            f"The responses were shuffled (seed {study.shuffle_seed}): their tie to the stimuli is cut, "
            "and nothing should be found."
        )
        rolled = [one.name for one in study.analyses if one.compares and one.options.get("block_s")]
        if rolled:
            found.append(
                f"In {listed(rolled)}, whose blocks of time were rolled, neighbouring blocks stay alike: the agreement "
                "that is left is what slowness alone explains, and need not be zero."
            )
    found += [
        f"{RESYNTHESISED} What models were given in {listed(names)} is not the sound that listeners heard."
        for names in [[one.name for one in study.analyses if one.dataset.resynthesised]]
        if names
    ]
    doubted = [one.name for one in study.analyses if clock_warnings_of(one.dataset)]
    if doubted:
        found.append(f"The clocks of {listed(doubted)} may be off: see the warnings under Data.")
    alike = [one.name for one in study.analyses if one.dataset.prepared.get(DOUBTS)]
    if alike:
        found.append(
            f"Stimuli of {listed(alike)} are nearly alike or repeat themselves, so scores may be too high: see the "
            "warnings under Data."
        )
    if misaligned:
        found.append(
            f"The responses of {listed(misaligned)} may not be in the order of what was presented: "
            "see the warnings under What was found."
        )
    return found


def warnings_of(dataset: DatasetFacts) -> list[str]:
    """What was warned of while data were prepared, each once."""
    return [*clock_warnings_of(dataset), *(sentence(text) for text in dataset.prepared.get(DOUBTS, ()))]


def clock_warnings_of(dataset: DatasetFacts) -> list[str]:
    """What the checks of the sound's start warned of, each once."""
    return [sentence(text) for text in dataset.prepared.get("onset_check", ()) if ONSET_ADVICE in text]


def alignment_warnings(found: Sequence[Misaligned], n_groups: int) -> list[str]:
    """One sentence for each group and order of its responses that fits better than the one given.

    Parameters
    ----------
    n_groups : of the analysis; a single one is not named
    """
    alike: dict[tuple[str, str, str], list[Misaligned]] = {}
    for one in found:
        alike.setdefault((one.group, one.best, one.remedy), []).append(one)
    return [
        f"The responses{f' of {group}' if n_groups > 1 else ''} may not be in the order of what was presented. "
        f"They fit better if {best}: "
        f"{listed([f'{one.model} (r {number(one.best_r)} instead of {number(one.given_r)})' for one in models])}. "
        f"{remedy[:1].upper()}{remedy[1:]}."
        for (group, best, remedy), models in alike.items()
    ]


def doubts_in_words(contents: ScoresContents) -> list[str]:
    """A sentence for each set of equal items or stimuli, and for each group with many samples without features."""
    found = [sentence(text) for text in contents.equal]
    for group, (missing, n_samples) in contents.without_features.items():
        if missing > MANY * n_samples:
            found.append(
                f"In {group}, {missing:,} of {n_samples:,} samples have nothing of the stimulus in their bins."
            )
    return found


def sentence(text: str) -> str:
    """With a capital at its start and a full stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
