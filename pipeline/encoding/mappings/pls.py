"""Partial least squares, whose components are shared by one region's targets, by one subject's, or by all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.encoding.mapping import Mapping, MappingEntry, MappingInputs
from pipeline.encoding.options import EncodingOptions

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


class PlsOptions(EncodingOptions):
    """Partial least squares regression with a fixed number of components."""

    kind: Literal["pls"] = "pls"
    n_components: int = Field(
        25, ge=1, description="components; fewer where training rows and features span fewer dimensions"
    )
    together: Literal["region", "subject", "group"] = Field(
        "region",
        description="which targets share their components: region: one subject's in one region (where every parcel is "
        "a region, each is fitted by itself, which is slow); subject: all of one "
        "subject's; group: all of a group's, so that subjects are not independent of one another",
    )


def make(options: PlsOptions, inputs: MappingInputs) -> Mapping:
    """Scores say how many components were asked for, and the fewest that any layer was fitted with in an outer fold."""
    from pipeline.artifacts.scores import NO_PENALTY
    from pipeline.encoding.mappings.pls_fit import Pls

    fit = Pls(options.n_components, fitted_together(inputs.targets, options.together))

    def finish(scores: xr.Dataset) -> xr.Dataset:
        n_components = {"n_components": options.n_components, "n_components_fewest": fit.fewest}
        return scores.assign_attrs(penalties=NO_PENALTY, together=options.together, **n_components)

    return Mapping(fit, finish)


def fitted_together(targets: dict[str, np.ndarray], what: str) -> np.ndarray:
    """Number of the set that each target is fitted with, ``(n_targets,)``.

    Parameters
    ----------
    targets : coordinates of the targets, with ``subject`` and ``region``
    what : ``region`` (one subject's targets in one region), ``subject`` (all of one subject's) or ``group`` (all)
    """
    import numpy as np

    n_targets = targets["subject"].size
    by = {"region": ("subject", "region"), "subject": ("subject",), "group": ()}[what]
    names = list(zip(*(targets[name].tolist() for name in by), strict=True)) or [()] * n_targets
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], dtype=np.intp)


PLS = MappingEntry("pls", PlsOptions, make, "pipeline.encoding.mappings.words:PLS")
