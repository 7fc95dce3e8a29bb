"""What scores say of the samples behind them that a reader has to know: equal items, samples without a stimulus."""

from __future__ import annotations

from pipeline.report.read_scores import ScoresContents
from pipeline.report.sections.dataset_text import sentence

MANY = 0.05
"""Share of samples without features from which the page says so: a scan may begin before the sound and end after it."""


def doubts_in_words(contents: ScoresContents) -> list[str]:
    """A sentence for each set of equal items or stimuli, and for each group with many samples without features."""
    found = [sentence(text) for text in contents.equal]
    for group, (missing, n_samples) in contents.without_features.items():
        if missing > MANY * n_samples:
            found.append(
                f"In {group}, {missing:,} of {n_samples:,} samples have nothing of the stimulus in their bins."
            )
    return found
