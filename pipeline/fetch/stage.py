"""What ``python -m pipeline fetch`` and ``fetch-weights`` call."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts.catalogue import Catalogue, Receipt
from pipeline.core.keys import slug
from pipeline.fetch.batch import fetch_files
from pipeline.fetch.http.settings import FetchSettings
from pipeline.fetch.mirror import Mirror
from pipeline.fetch.weights.resolve import WeightSource, fetch_weights


def run_fetch(
    catalogue: Catalogue,
    raw_folder: Path,
    receipt_path: Path,
    *,
    mirror: Mirror | None = None,
    settings: FetchSettings | None = None,
) -> Receipt:
    """Fetch every file of a catalogue.

    Parameters
    ----------
    raw_folder : ``data/raw/<dataset>``
    receipt_path : ``data/raw/<dataset>/receipt-<key>.json``, written last
    """
    return fetch_files(
        catalogue.files,
        raw_folder,
        mirror=mirror,
        what=catalogue.dataset,
        key=catalogue.key,
        receipt_path=receipt_path,
        settings=settings,
    )


def run_fetch_weights(
    model_id: str,
    source: WeightSource,
    weights_folder: Path,
    *,
    mirror: Mirror | None = None,
    settings: FetchSettings | None = None,
) -> Receipt:
    """Fetch one network's weights into ``weights_folder/<model_id>``, usually ``data/raw/weights/<model_id>``."""
    return fetch_weights(model_id, source, weights_folder / slug(model_id), mirror=mirror, settings=settings)
