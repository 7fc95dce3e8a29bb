"""What an item is called: its category as a one-hot vector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import LayermapError
from pipeline.models.entry import ModelEntry, Twin, evenly_deep

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


class Category:
    """One feature per category that the stimulus names, in alphabetical order."""

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        from pipeline.models.shown.items import item_names

        if "category" not in stimulus.variables:
            raise LayermapError(
                f"model 'category' needs categories of items, but stimulus '{stimulus.attrs['name']}' has none; "
                "leave the model out of this analysis"
            )
        return "item", item_names(stimulus)

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        import numpy as np

        from pipeline.models.shown.items import labels

        categories = labels(stimulus["category"])
        one_hot = (categories[:, None] == np.unique(categories)[None, :]).astype(np.float32)
        yield 0, {"category": one_hot}


def load_category(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> Category:
    """The category baseline; it has no weights."""
    return Category()


CATEGORY = ModelEntry(
    name="category",
    modalities=("audio", "images"),
    objective="baseline",
    factory="pipeline.models.baselines.item_baselines:load_category",
    layers=evenly_deep(["category"]),
    title="Category labels",
    citation="labels as published with the stimuli",
    licence="BSD-3-Clause (this repository)",
    preprocessing={"code": "one-hot, categories in alphabetical order"},
)
