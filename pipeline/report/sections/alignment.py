"""What the checks of alignment warned of, once for all models that say the same."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.report.read_scores import Misaligned
from pipeline.report.wording import listed, number


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
