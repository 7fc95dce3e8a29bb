"""The datasets that a study can ask for by ``kind``."""

from __future__ import annotations

from pipeline.recordings.entry import DatasetEntry
from pipeline.registry import Registry

DATASETS: Registry[DatasetEntry] = Registry(
    "dataset",
    {
        "simulated_mouse": "pipeline.recordings.simulated_mouse:DATASET",
        "simulated_listening": "pipeline.recordings.simulated_listening:DATASET",
        "allen_scenes": "pipeline.recordings.allen_scenes:DATASET",
        "allen_2p": "pipeline.recordings.allen.two_photon:DATASET",
        "allen_neuropixels": "pipeline.recordings.allen.neuropixels:DATASET",
        "alice": "pipeline.recordings.alice:DATASET",
        "alice_bold": "pipeline.recordings.alice_bold:DATASET",
        "narratives": "pipeline.recordings.narratives:DATASET",
        "petit_prince": "pipeline.recordings.petit_prince:DATASET",
        "openneuro": "pipeline.recordings.openneuro_bids:DATASET",
        "bids": "pipeline.recordings.bids:DATASET",
        "natsound165": "pipeline.recordings.natsound165:DATASET",
        "files": "pipeline.recordings.files:DATASET",
    },
    group="layermap.datasets",
)
