"""Small studies with known answers, see `tests.report.synthetic_study`."""

import numpy as np
import pytest

from pipeline.artifacts.scores import write_scores
from tests.report.synthetic_cortex import trilingual
from tests.report.synthetic_models import STREAMS, Analysis
from tests.report.synthetic_scores import encoding_scores
from tests.report.synthetic_study import synthesise


@pytest.fixture(scope="session")
def write_synthetic_scores():
    """(path, subjects, region → peak depth, model) → a scores file of that model, in items."""

    def write(path, subjects, peaks, model, *, key="c", **more):
        spec = Analysis("sounds", peaks, len(model.layers), subjects, items=True, ceiling=np.nan, **more)
        scores = encoding_scores(spec, model, np.random.default_rng(len(model.name)))
        study, analysis, group = path.parts[-4:-1]
        write_scores(scores.assign_attrs(study=study, analysis=analysis, group=group, config_sha=key), path)

    return write


AREAS = {"VISp": 0.1, "VISl": 0.4, "VISam": 0.9, "noise": None}


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """Three simulated mice in time, planted layers, one region of noise, one twin."""
    spec = Analysis("mouse", AREAS, 9, ("m1", "m2", "m3"), simulated=True, planted=True, n_twins=1, seed=1)
    return synthesise(tmp_path_factory.mktemp("simulated"), "simulated", [spec])


@pytest.fixture(scope="session")
def listeners(tmp_path_factory):
    """Ten listeners and their mean: intervals over subjects, two averages, two baselines."""
    names = tuple(f"s{i:02d}" for i in range(10))
    spec = Analysis(
        "story", {"LATL": 0.3, "LIFG": 0.7}, 12, names, mean=True, baselines=("word-rate", "sound-power"), seed=2
    )
    return synthesise(tmp_path_factory.mktemp("listeners"), "listeners", [spec])


@pytest.fixture(scope="session")
def joint(tmp_path_factory):
    """Layers fitted jointly with a baseline: three listeners, one region that neither predicts."""
    peaks = {"LATL": 0.3, "LIFG": 0.7, "noise": None}
    spec = Analysis("story", peaks, 4, ("s1", "s2"), baselines=("word-rate",), spaces=("word-rate",), n_twins=1, seed=8)
    return synthesise(tmp_path_factory.mktemp("joint"), "joint", [spec])


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """Items with scores within categories as well, no ceiling."""
    spec = Analysis(
        "sounds", {"lowfreq": 0.2, "speech": 0.8}, 6, ("group",), items=True, within=True, ceiling=np.nan, seed=3
    )
    return synthesise(tmp_path_factory.mktemp("sounds"), "sounds", [spec])


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Similarity matrices of regions with two compartments each."""
    peaks = {"VISp": 0.2, "VISam": 0.8}
    spec = Analysis("scenes", peaks, 6, ("pooled",), compartments=("L2/3", "L4"), seed=4)
    return synthesise(tmp_path_factory.mktemp("scenes"), "scenes", [spec], rsa=True)


@pytest.fixture(scope="session")
def pathways(tmp_path_factory):
    """A network of two pathways with twins of both kinds, beside an untrained network of the user's own."""
    peaks = {"VISp": ("path1", 0.2), "VISl": ("path1", 0.8), "VISpm": ("path2", 0.4), "noise": None}
    spec = Analysis(
        "mouse", peaks, 6, ("m1", "m2", "m3"), pathways=("path1", "path2"), n_shuffled=2, untrained=True, seed=6
    )
    return synthesise(tmp_path_factory.mktemp("pathways"), "pathways", [spec])


@pytest.fixture(scope="session")
def shuffled(tmp_path_factory):
    """A study whose responses were shuffled: nothing to be found."""
    spec = Analysis("mouse", dict.fromkeys(AREAS), 9, ("m1", "m2", "m3"), n_twins=1, seed=5)
    return synthesise(tmp_path_factory.mktemp("shuffled"), "simulated-shuffled-3", [spec], shuffle_seed=3)


VIS_PEAKS = {
    "VISp": ("path1", 0.2),
    "VISl": ("path1", 0.8),
    "VISal": ("path2", 0.4),
    "VISpm": ("path2", 0.6),
    "VISam": ("path2", 0.8),
}
MOVIES = {
    "areas": list(VIS_PEAKS),
    "depth_um": [175, 250],
    "stimuli": ["natural_movie_one"],
    "session_types": ["three_session_A"],
    "signal": "events",
    "frames_per_bin": 15,
}


@pytest.fixture(scope="session")
def movies(tmp_path_factory):
    """Nine mice, seven of them with VISam: matrices over blocks of a movie, with streams, and cells with nuisance.

    VISpm is read out of the dorsal regions' pathway, so that the published assignment shows less than the others.
    """
    mice = tuple(f"mouse-{i}" for i in range(9))
    common = {"pathways": ("path1", "path2"), "baselines": (), "streams": STREAMS, "dataset_options": MOVIES}
    lacking = dict.fromkeys(mice[:2], ("VISam",))
    similarity = Analysis("similarity", VIS_PEAKS, 3, mice, animals=True, lacking=lacking, seed=7, **common)
    nuisance = ("running_speed", "pupil_area")
    cells = Analysis("cells", VIS_PEAKS, 3, mice[:3], nuisance=nuisance, seed=8, **common)
    return synthesise(tmp_path_factory.mktemp("movies"), "movies", [similarity, cells])


@pytest.fixture(scope="session")
def cortex(listeners):
    """Three groups of listeners, three networks, 150 parcels, and a language design; stimuli resynthesised."""
    return trilingual(listeners, resynthesised=True)
