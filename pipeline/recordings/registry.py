"""The datasets that a study can ask for by ``kind``."""

from __future__ import annotations

from pipeline.core.registry import Registry
from pipeline.recordings.entry import DatasetEntry

DATASETS: Registry[DatasetEntry] = Registry(
    "dataset",
    (DatasetEntry,),
    "kind",
    {
        "simulated_mouse": "pipeline.simulated.mouse_dataset:DATASET",
        "simulated_listening": "pipeline.simulated.listening_dataset:DATASET",
        "allen_scenes": "pipeline.recordings.published.allen_scenes:DATASET",
        "allen_2p": "pipeline.recordings.allen.two_photon.dataset:DATASET",
        "allen_neuropixels": "pipeline.recordings.allen.neuropixels.dataset:DATASET",
        "alice": "pipeline.recordings.published.alice:DATASET",
        "alice_bold": "pipeline.recordings.stories.alice_bold:DATASET",
        "narratives": "pipeline.recordings.stories.narratives:DATASET",
        "petit_prince": "pipeline.recordings.stories.petit_prince:DATASET",
        "openneuro": "pipeline.recordings.bids.openneuro:DATASET",
        "bids": "pipeline.recordings.bids.local:DATASET",
        "natsound165": "pipeline.recordings.published.natsound165:DATASET",
        "files": "pipeline.recordings.files.dataset:DATASET",
    },
    group="layermap.datasets",
)
