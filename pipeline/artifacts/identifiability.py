"""Identifiability artifact: which layer and network are named for responses simulated from each.

``data/identifiability/<study>/<analysis>/<group>.nc``, one per group of an analysis. ``planted`` counts all layers of
all networks but twins, one network after another; ``readout`` is ``fitted`` or ``generic``.

======================  ==================================================  ==========================================
variable                dims                                                meaning
======================  ==================================================  ==========================================
``named``               (readout, repeat, planted, region)                  layer named, counted within the network; −1
``depth_index``         (readout, repeat, planted, region)                  score-weighted mean depth
``own_score``           (readout, repeat, planted, region)                  score of the planted layer
``amplitude``           (readout, planted, region)                          of the signal, 0 to 1
``reached``             (readout, planted, region)                          1: the layer can score what was measured
``measured_score``      (network, region)                                   nested score of the measured responses
``measured_layer``      (network, region)                                   their best layer within the network; −1
``network_score``       (readout, repeat, planted_network, network,         nested score of every network, for
                        region)                                             responses from the best layer of each
``test_p``              (given, data_set, region)                           p of the nested score
``test_found``          (given, data_set, region)                           1: reliably above zero, as the map says it
``test_score``,         (given, data_set, region)                           nested score with its interval
``_low``, ``_high``
``test_difference``,    (given, data_set, region)                           score of the best layer for the measured
``_low``, ``_high``                                                         responses − first (or last) layer's
``test_in_set``         (given, data_set, region)                           1: that layer is in the set of best layers
``test_amplitude``      (region,)                                           of what is planted, from that layer
``kept_z``,             (scored, fold, kept)                                outer Fisher z and inner r of each data
``kept_inner``                                                              set, layer and simulated target
``kept_weight``         (fold, kept)                                        of each fold in a target's mean
``kept_subject``,       (kept,)                                             whose it is, and where
``kept_region``
``n_network_layers``    (network,)                                          layers that were scored
======================  ==================================================  ==========================================

With ``kept_*`` scores of several groups can be averaged as the map averages them
(`pipeline.inference.questions.averaged_groups`). ``scored`` counts the networks; of each its data sets: by readout and
repeat, from each of its own layers (none of a twin's), and then, by readout and repeat again, from the best layer of
each network; of each data set the layers of the network.

The study's own calibration is ``test_*``: of the network ``calibrated`` (attr), the first that is no twin, ``given``
``nothing`` or ``planted``; without data sets where attr ``no_calibration`` says why, or none were wanted.
``test_orders`` (attr) other orders stand behind each p, 0 where none were wanted; ``confidence`` (attr) is of the
intervals.

Coordinates: ``planted_model, planted_layer, planted_pathway, relative_depth (planted)``, depth being within pathways;
``n_targets (region)``, simulated ones. Attrs ``subject`` (as in the map), ``n_targets`` and ``n_simulated`` (of all
regions). There are no repeats where the samples allow too few other orders to make noise of.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.storage.contract import Contract, read_netcdf, write_netcdf

if TYPE_CHECKING:
    import xarray as xr

FITTED, GENERIC = "fitted", "generic"
READOUTS = (FITTED, GENERIC)
"""Kinds of read-outs that responses are simulated with."""
NOTHING, PLANTED = "nothing", "planted"
GIVEN = (NOTHING, PLANTED)
"""What is in the data sets that a study's own tests are tried on."""
_BY_PLANTED = ("readout", "repeat", "planted", "region")
_BY_SET = ("given", "data_set", "region")

IDENTIFIABILITY = Contract(
    "identifiability",
    "identify",
    {
        "named": _BY_PLANTED,
        "depth_index": _BY_PLANTED,
        "own_score": _BY_PLANTED,
        "amplitude": ("readout", "planted", "region"),
        "reached": ("readout", "planted", "region"),
        "measured_score": ("network", "region"),
        "measured_layer": ("network", "region"),
        "network_score": ("readout", "repeat", "planted_network", "network", "region"),
        "planted_model": ("planted",),
        "planted_layer": ("planted",),
        "planted_pathway": ("planted",),
        "relative_depth": ("planted",),
        "n_targets": ("region",),
        "test_p": _BY_SET,
        "test_found": _BY_SET,
        "test_score": _BY_SET,
        "test_low": _BY_SET,
        "test_high": _BY_SET,
        "test_difference": _BY_SET,
        "test_difference_low": _BY_SET,
        "test_difference_high": _BY_SET,
        "test_in_set": _BY_SET,
        "test_amplitude": ("region",),
        "given": ("given",),
        "kept_z": ("scored", "fold", "kept"),
        "kept_inner": ("scored", "fold", "kept"),
        "kept_weight": ("fold", "kept"),
        "kept_subject": ("kept",),
        "kept_region": ("kept",),
        "n_network_layers": ("network",),
    },
    (
        *("study", "analysis", "group", "metric", "subject", "n_targets", "n_simulated", "seed"),
        *("calibrated", "confidence", "test_orders", "no_calibration"),
    ),
)


def write_identifiability(dataset: xr.Dataset, path: Path) -> None:
    write_netcdf(dataset, path, IDENTIFIABILITY)


def open_identifiability(path: Path) -> xr.Dataset:
    """Read one; raises `BrokenArtifact` naming the file and what was expected."""
    return read_netcdf(path, IDENTIFIABILITY)
