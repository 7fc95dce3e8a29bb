"""The listening studies that come with layermap, from file lists to the page, against a server with planted layers.

Networks from a hub are replaced by small ones whose layers can be told apart; listeners, stories and sections are few.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import spearmanr

from tests.conftest import MIRROR
from tests.listening.planted import REGIONS
from tests.listening.published import serve_alice, serve_narratives, serve_petit_prince
from tests.listening.server import ListeningServer
from tests.workflow.conftest import Folder
from tests.workflow.observatory_runs import shipped, smaller, table

pytestmark = [pytest.mark.study, pytest.mark.skipif(not MIRROR.is_dir(), reason="needs ../shared/mirror")]

LIMIT = 3
NET_FILE = Path(__file__).parents[1] / "listening" / "planted_net.py"


def network(seed: int) -> dict[str, Any]:
    """The small network of a seed, for the section networks of a study."""
    return {
        "factory": "planted_net.py:build",
        "arguments": {"seed": seed},
        "modality": "audio",
        "sampling_rate_hz": 16_000,
        "window_s": 0.5,
        "stride_s": 0.5,
        "layers": ["blocks.*"],
        "objective": "self-supervised",
    }


def run(folder: Folder, study: dict[str, Any], server: ListeningServer, limit: int = LIMIT) -> None:
    shutil.copy(NET_FILE, folder.path)
    study["inference"] = {"n_bootstrap": 200}
    name = folder.write_study(study, f"{study['study']}.yaml")
    result = folder.run("all", "--config", f"study={name}", f"mirror={server.prefix}", f"limit={limit}")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


def best_depths(folder: Folder, study: str, model: str, **where: str) -> pd.Series:
    """Region → relative depth of the nested best layer, of the mean listener, both hemispheres together."""
    rows = table(folder, study, "-summary")
    rows = rows[(rows.model == model) & (rows.subject == "mean") & (rows.compartment == "all")]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return rows.set_index("region").best_layer_depth


def check_gradient(depths: pd.Series) -> None:
    """From Heschl to prefrontal cortex, best layers deepen as they were planted."""
    assert spearmanr(range(len(REGIONS)), depths[list(REGIONS)]).statistic >= 0.9


@pytest.fixture(scope="module")
def server() -> Iterator[ListeningServer]:
    with pytest.MonkeyPatch.context() as patch, ListeningServer() as one:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield one


@pytest.fixture(scope="module")
def narratives(server: ListeningServer, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    serve_narratives(server, tmp_path_factory.mktemp("served"), {"pieman": 440.0, "lucy": 546.0}, LIMIT, seed=1)
    study = shipped("narratives_speech")
    study["networks"] = {"wav2vec2": network(1)}
    analysis = study["analyses"]["stories"]
    analysis["recording"]["stories"] = ["pieman", "lucy"]
    smaller(analysis, [{"name": "wav2vec2", "random_twins": 1}, "log-mel"])
    folder = Folder(tmp_path_factory.mktemp("narratives"))
    run(folder, study, server)
    return folder


def test_narratives_recover_the_planted_order(narratives: Folder) -> None:
    check_gradient(best_depths(narratives, "narratives_speech", "wav2vec2"))


LANGUAGES = {"wav2vec2-en": ("EN", 11), "wav2vec2-fr": ("FR", 12), "wav2vec2-zh": ("CN", 13)}
SECTION = 5


def trilingual(folder: Folder, server: ListeningServer, domains: dict[str, str]) -> None:
    """The shipped study with one section and small networks."""
    study = shipped("petit_prince_trilingual")
    study["networks"] = {name: network(seed) for name, (_, seed) in LANGUAGES.items()}
    analysis = study["analyses"]["book"]
    analysis["recording"]["sections"] = [SECTION]
    smaller(analysis, list(LANGUAGES))
    analysis["languages"]["models_domain"] = domains
    run(folder, study, server, limit=2)


@pytest.fixture(scope="module")
def own_language(server: ListeningServer, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Everybody's cortex reads out the network of their own language."""
    networks = {language: seed for language, seed in LANGUAGES.values()}
    serve_petit_prince(server, tmp_path_factory.mktemp("served"), SECTION, 2, networks)
    folder = Folder(tmp_path_factory.mktemp("own"))
    trilingual(folder, server, dict(zip(LANGUAGES, ("audiobook", "audiobook", "web"), strict=True)))
    return folder


def language_rows(folder: Folder) -> pd.DataFrame:
    rows = table(folder, "petit_prince_trilingual", "-contrasts")
    return rows[rows.contrast.str.contains("native|domain")]


def test_own_language(own_language: Folder) -> None:
    print(language_rows(own_language).to_string())
    for name, (language, _) in LANGUAGES.items():
        check_gradient(best_depths(own_language, "petit_prince_trilingual", name, group=language))


@pytest.fixture(scope="module")
def alice(server: ListeningServer, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    serve_alice(server, tmp_path_factory.mktemp("served"), LIMIT, seed=3)
    study = shipped("alice_bold")
    study["networks"] = {"wav2vec2": network(3)}
    smaller(study["analyses"]["sound"], ["wav2vec2", "log-mel"])
    smaller(study["analyses"]["words"], ["word-rate"])
    folder = Folder(tmp_path_factory.mktemp("alice"))
    run(folder, study, server)
    return folder


def test_alice(alice: Folder) -> None:
    check_gradient(best_depths(alice, "alice_bold", "wav2vec2", analysis="sound"))
