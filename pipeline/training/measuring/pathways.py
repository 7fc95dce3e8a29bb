"""What each pathway of a network tells, side by side: whether one is better at what is seen and another at motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.training.results import TRAINED, TWIN

if TYPE_CHECKING:
    import pandas as pd

MAIN = "main"
"""The pathway of layers that belong to none."""
COLUMNS = ("network", "label", "pathway", "mean_accuracy", "last_layer", "accuracy", "low", "high", "chance")


def pathway_table(probes: pd.DataFrame) -> pd.DataFrame:
    """One row for each network, label set and pathway; no rows where no network has pathways.

    The mean is over the layers of the pathway; accuracy and interval are of its last layer. No layer is chosen by its
    accuracy, so neither favours a pathway.

    Parameters
    ----------
    probes : ``probes.csv``
    """
    import pandas as pd

    layers = probes[probes["network"].isin([TRAINED, TWIN]) & (probes["pathway"] != MAIN)]
    rows = []
    for (network, label, pathway), own in layers.groupby(["network", "label", "pathway"], sort=False):
        last = own.iloc[-1]
        rows.append(
            {
                "network": network,
                "label": label,
                "pathway": pathway,
                "mean_accuracy": own["accuracy"].mean(),
                "last_layer": last["layer"],
                **{name: last[name] for name in ("accuracy", "low", "high")},
                "chance": 1 / last["n_classes"],
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))
