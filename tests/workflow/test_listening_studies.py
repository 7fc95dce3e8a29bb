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

from pipeline.inference.questions.languages import DOMAIN, LANGUAGE
from tests.conftest import MIRROR
from tests.listening.planted import REGIONS
from tests.listening.server import ListeningServer
from tests.listening.study import serve_alice, serve_narratives, serve_petit_prince
from tests.workflow.conftest import Folder
from tests.workflow.observatory_runs import shipped, smaller, table

pytestmark = [pytest.mark.study, pytest.mark.skipif(not MIRROR.is_dir(), reason="needs ../shared/mirror")]

LIMIT = 3
NET_FILE = Path(__file__).parents[1] / "listening" / "planted_net.py"
NETWORKS = {"wav2vec2-en": 11, "wav2vec2-fr": 12, "wav2vec2-zh": 13}
"""Networks of the trilingual study → seed; each is trained, so it is said, on the language of its name."""
LISTENERS = {"EN": "wav2vec2-en", "FR": "wav2vec2-fr", "CN": "wav2vec2-zh"}
SECTION = 5
BOOK = "petit_prince_trilingual"


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


def run(folder: Folder, study: dict[str, Any], server: ListeningServer, limit: int, last: str = "report") -> None:
    shutil.copy(NET_FILE, folder.path)
    study["inference"] = {"n_bootstrap": 200, "permutations": 20, "simulations": 0}
    name = folder.write_study(study, f"{study['study']}.yaml")
    folder.run_stages(last, name, mirror=server.prefix, limit=limit)


def best_depths(folder: Folder, study: str, model: str, side: str = "all", **where: str) -> pd.Series:
    """Region → relative depth of the nested best layer of the mean listener, in one hemisphere or both together."""
    rows = table(folder, study, "-summary")
    rows = rows[(rows.model == model) & (rows.subject == "mean") & (rows.compartment == side)]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return rows.set_index("region").best_layer_depth


def check_gradient(depths: pd.Series) -> None:
    """From Heschl to prefrontal cortex, best layers deepen as they were planted."""
    assert spearmanr(range(len(REGIONS)), depths[list(REGIONS)]).statistic >= 0.9


def page(folder: Folder, study: str) -> str:
    return (folder.path / "reports" / study / "index.html").read_text(encoding="utf-8")


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
    over_twins = analysis["contrasts"][:1]
    smaller(analysis, [{"name": "wav2vec2", "random_twins": 1}, "log-mel"])
    analysis["contrasts"] += over_twins
    folder = Folder(tmp_path_factory.mktemp("narratives"))
    run(folder, study, server, LIMIT)
    return folder


def test_narratives_recovers_the_planted_order(narratives: Folder) -> None:
    check_gradient(best_depths(narratives, "narratives_speech", "wav2vec2"))
    contrasts = table(narratives, "narratives_speech", "-contrasts")
    ranks = contrasts[contrasts.contrast.str.startswith("depth order: rank correlation")]
    assert (ranks.difference >= 0.9).all() and (ranks.ci_low > 0.5).all() and len(ranks)


def test_narratives_prefers_the_trained_network(narratives: Folder) -> None:
    rows = table(narratives, "narratives_speech", "-contrasts")
    rows = rows[(rows.contrast == "trained over random twins") & (rows.compartment == "all")]
    assert set(rows.region) == set(REGIONS) and (rows.difference > 0.2).all()
    assert rows.p.isna().all() and rows.statement.str.contains("1 seed: too few for an interval").all()


def test_narratives_units_are_significant_and_painted(narratives: Folder) -> None:
    units = table(narratives, "narratives_speech", "-units")
    planted = units[(units.model == "wav2vec2") & (units.subject == "all")]
    assert (planted.significant == 1).all() and planted.unit.nunique() == 24
    surface = table(narratives, "narratives_speech", "-surface")
    assert set(surface.unit) == set(planted.unit)
    html = page(narratives, "narratives_speech")
    assert "fsaverage5" in html and "1 of 3 listeners were brought to the clock of the others" in html


@pytest.fixture(scope="module")
def alice(server: ListeningServer, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    serve_alice(server, tmp_path_factory.mktemp("served"), LIMIT, seed=3)
    study = shipped("alice_bold")
    study["networks"] = {"wav2vec2": network(3)}
    smaller(study["analyses"]["sound"], ["wav2vec2", "log-mel"])
    smaller(study["analyses"]["words"], ["word-rate"])
    folder = Folder(tmp_path_factory.mktemp("alice"))
    run(folder, study, server, LIMIT)
    return folder


def test_alice_recovers_the_planted_order_beside_words(alice: Folder) -> None:
    check_gradient(best_depths(alice, "alice_bold", "wav2vec2", analysis="sound"))
    summary = table(alice, "alice_bold", "-summary")
    words = summary[(summary.analysis == "words") & (summary.subject == "mean") & (summary.compartment == "all")]
    assert set(words.region) == set(REGIONS) and (words.best_layer_score < 0.3).all()


def trilingual() -> dict[str, Any]:
    """The shipped study with one section and small networks."""
    study = shipped(BOOK)
    study["networks"] = {name: network(seed) for name, seed in NETWORKS.items()}
    analysis = study["analyses"]["book"]
    analysis["recording"]["sections"] = [SECTION]
    smaller(analysis, list(NETWORKS))
    return study


@pytest.fixture(scope="module")
def book(server: ListeningServer, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Right hemispheres read out the network of their listener's language, left ones the English one in everybody."""
    right = {language: NETWORKS[model] for language, model in LISTENERS.items()}
    served = tmp_path_factory.mktemp("served")
    serve_petit_prince(server, served, SECTION, 2, left=NETWORKS["wav2vec2-en"], right=right)
    folder = Folder(tmp_path_factory.mktemp("book"))
    run(folder, trilingual(), server, 2)
    return folder


def effect(folder: Folder, side: str, name: str = LANGUAGE) -> pd.DataFrame:
    """Rows of the interaction in one hemisphere."""
    rows = table(folder, BOOK, "-contrasts")
    return rows[(rows.contrast == name) & (rows.compartment == side)].set_index("region")


def test_petit_prince_recovers_the_planted_order_in_each_language(book: Folder) -> None:
    for language, model in LISTENERS.items():
        check_gradient(best_depths(book, BOOK, model, "right", group=language))
        check_gradient(best_depths(book, BOOK, "wav2vec2-en", "left", group=language))


def test_petit_prince_finds_the_planted_effect_of_language(book: Folder) -> None:
    rows = effect(book, "right")
    assert set(rows.index) == {*REGIONS, "all regions"}
    assert (rows.difference > 0.3).all() and (rows.ci_low > 0.2).all()
    assert rows.statement.str.contains("each listener heard only one language: no claim about experience").all()


def test_petit_prince_finds_no_effect_of_language_where_one_network_is_best_for_all(book: Folder) -> None:
    row = effect(book, "left").loc["all regions"]
    assert row.ci_low < 0 < row.ci_high and abs(row.difference) < 0.1
    rows = table(book, BOOK, "-contrasts")
    english = rows[(rows.contrast == f"{LANGUAGE}: EN") & (rows.region == "all regions") & (rows.compartment == "left")]
    assert len(english) and (english.ci_low > 0.3).all()


def test_petit_prince_says_how_well_the_onset_of_the_sound_fits(book: Folder) -> None:
    assert "loudness and auditory cortex correlate" in page(book, BOOK)


def test_petit_prince_flags_what_the_acoustic_domain_may_explain(
    book: Folder, server: ListeningServer, tmp_path: Path
) -> None:
    """The same scores with other domains stated: where only the domain matches, nothing is said of language."""
    folder = Folder(tmp_path / "stated")
    shutil.copytree(book.path, folder.path, dirs_exist_ok=True, symlinks=True)
    study = trilingual()
    languages = study["analyses"]["book"]["languages"]
    languages |= {
        "listeners_domain": {"EN": "a", "FR": "b", "CN": "c"},
        "models_domain": dict(zip(NETWORKS, "abc", strict=True)),
    }
    run(folder, study, server, 2, "map")
    assert effect(folder, "right").statement.str.contains("not separable from a match of the acoustic domain").all()
    languages["models"] = dict.fromkeys(NETWORKS, "en")
    run(folder, study, server, 2, "map")
    assert effect(folder, "right").empty
    rows = effect(folder, "right", DOMAIN)
    assert len(rows) and rows.statement.str.contains("language was not tested").all()
