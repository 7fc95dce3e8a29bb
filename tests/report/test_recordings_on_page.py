"""Recordings on the page: how they were compared, what the published analysis did otherwise, what behaviour does."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.scores import open_scores, write_scores
from pipeline.artifacts.storage.store import SCHEMA_VERSION
from pipeline.inference.scores import geometry_batches
from pipeline.recordings.allen.neuropixels.options import AllenNeuropixelsOptions
from pipeline.recordings.allen.two_photon.options import Allen2pOptions
from pipeline.recordings.bold.onset_check import _sentence as onset_sentence
from pipeline.report.page import split_in_words
from pipeline.report.read_scores import Shares, read_contents
from pipeline.report.sections import methods_text as methods_module
from pipeline.report.sections.behaviour import behaviour_table
from pipeline.report.sections.cautions import warnings_of
from pipeline.report.sections.methods_text import draws_in_words, left_out_in_words, methods_text, recorded_in_words
from pipeline.report.wording import NBSP
from tests.inference_settings import Settings
from tests.report.synthetic_models import Analysis, models_of
from tests.report.synthetic_scores import coordinates
from tests.report.test_page import words


def paragraphs(study, **changes):
    """The methods with other options of the run: analysis → changed split, or facts."""
    contents = dict(study.contents)
    summary = changes.pop("summary", study.tables["summary"])
    if "split" in changes:
        own = contents["similarity"]
        contents["similarity"] = dataclasses.replace(own, split={**own.split, **changes.pop("split")})
    analyses = tuple(
        dataclasses.replace(one, **changes) if one.name == "similarity" else one for one in study.facts.analyses
    )
    return methods_text(dataclasses.replace(study.facts, analyses=analyses), contents, summary).paragraphs


def departures(study, **changes):
    return next(one for one in paragraphs(study, **changes) if one.startswith("Departures")).replace(NBSP, " ")


def test_methods_say_how_recordings_were_compared(movies):
    text = paragraphs(movies)[0]
    assert "blocks of 0.5 s of a stimulus' time" in text
    assert "where at least 5 cells respond" in text
    assert "The mean over blocks was first removed from every cell and every feature." in text
    assert "Kendall's τ-b, animal by animal (animals: VISp 9, VISl 9, VISal 9, VISpm 9, VISam 7)" in text
    assert "in 12 stretches of at least 1.5 s" in text
    assert "over 4 random halvings" in text
    assert "Kendall's τ taken to a correlation by sin(πτ/2) (Greiner 1909)" in text
    assert "Running speed and pupil area were taken out of single trials" in text
    assert "item" not in text


def test_each_correction_of_the_published_analysis_is_named(movies):
    text = departures(movies)
    assert "(Bakhtiari et al. 2021)" in text
    for said in (
        "The ceiling is the agreement across animals; there it was that of split halves of trials, without the Spear",
        "treated alike, both centred; there the ceiling's were not",
        "The layer is chosen on other stretches of the stimulus than those that it is scored on",
        "95 % intervals over subjects or stretches of neighbouring blocks; there bars were half a standard",
        "Responses are taken from 0.03 to 0.15 s after each frame's onset; there no response latency",
        "VISrl is left out, as there",
        "Which stream VISpm belongs to is an assumption; all 3 assignments of the study are reported",
        "Running speed and pupil area were taken out, which was not done there",
    ):
        assert said in text


def test_nothing_is_claimed_that_the_run_did_not_do(movies):
    summary = movies.tables["summary"].assign(ceiling=np.nan, ceiling_kind="none")
    dataset = dataclasses.replace(movies.facts.analyses[0].dataset, window_s=None)
    split = {"centred": False, "nuisance": []}
    text = departures(movies, split=split, summary=summary, dataset=dataset, streams=())
    assert "here none is given" in text
    assert "The ceiling is the agreement" not in text
    assert "neither being centred; there only the compared ones were" in text
    for unsaid in ("latency", "assumption", "taken out"):
        assert unsaid not in text
    whole = " ".join(paragraphs(movies, split=split, summary=summary, dataset=dataset, streams=()))
    assert "Neither cells nor features were centred" in whole
    assert "agree well enough for a ceiling" in whole


def test_other_blocks_and_other_comparisons_are_said_to_be_so(movies):
    assert "Here it is" not in departures(movies)
    options = {**movies.facts.analyses[0].options, "comparison": "spearman"}
    text = departures(movies, split={"block_s": 1.0}, options=options)
    assert "compared by Kendall's τ. Here it is blocks of 1 s and Spearman's ρ. It is corrected" in text


def test_regions_without_a_ceiling_are_named(movies):
    summary = movies.tables["summary"]
    assert "There is none for" not in paragraphs(movies)[0]
    alone = summary.assign(ceiling=summary["ceiling"].where(summary["region"] != "VISam"))
    assert "There is none for VISam, where no two animals agree" in paragraphs(movies, summary=alone)[0]


def test_what_was_said_of_behaviour_is_not_said_twice(movies):
    similarity, cells = (one for one in paragraphs(movies) if "taken out of single trials" in one)
    assert "single trials before these were averaged" in similarity
    assert "single trials in the same way. The share of variance" in cells


def test_an_area_that_the_paper_left_out_is_said_to_be_in(movies):
    summary = movies.tables["summary"].replace({"region": {"VISam": "VISrl"}})
    assert "VISrl is included, which was left out there" in departures(movies, summary=summary)


def test_items_and_other_brains_are_not_set_beside_the_published_analysis(movies, scenes):
    own = movies.contents["similarity"]
    split = {key: value for key, value in own.split.items() if key not in ("block_s", "stretch_s", "n_stretches")}
    contents = {**movies.contents, "similarity": dataclasses.replace(own, split=split)}
    text = methods_text(movies.facts, contents, movies.tables["summary"]).paragraphs
    assert not any(one.startswith("Departures") for one in text)
    assert "averaged within items" in text[0]
    assert "Bootstrap draws of items leave out pairs of the same item" in text[0]
    elsewhere = movies.tables["summary"].assign(region="V4")
    assert not any(one.startswith("Departures") for one in paragraphs(movies, summary=elsewhere))
    others = methods_text(scenes.facts, scenes.contents, scenes.tables["summary"]).paragraphs
    assert not any(one.startswith("Departures") for one in others)


def test_streams_and_both_indices_are_in_the_statistics(movies, scenes):
    text = next(one for one in paragraphs(movies) if one.startswith("Statistics"))
    assert "VISpm omitted: ventral VISl, dorsal VISal, VISam) are compared by the nested best scores" in text
    assert text.count("are compared by the nested best scores") == 1  # two analyses share their assignments
    assert "The hierarchy index is the place of the nested best layer from shallow" in text
    others = methods_text(scenes.facts, scenes.contents, scenes.tables["summary"]).paragraphs
    assert "Streams" not in " ".join(others)


def test_halvings_are_of_stretches(movies, scenes):
    text = split_in_words(movies.facts.analyses[0], movies.contents["similarity"])
    assert text == "4 random halvings of the 12 stretches of neighbouring blocks of 0.5 s, seed 0."
    items = split_in_words(scenes.facts.analyses[0], scenes.contents["scenes"])
    assert items.startswith("6 random halvings of the items")


@pytest.mark.parametrize(("most_entries", "n_draws"), [(4000, 200), (150, 3)])
def test_draws_are_counted_as_the_map_took_them(movies, tmp_path, monkeypatch, most_entries, n_draws):
    """36 blocks leave about 260 pairs to a draw."""
    for module in (geometry_batches, methods_module):
        monkeypatch.setattr(module, "MOST_ENTRIES", most_entries)
        monkeypatch.setattr(module, "MOST_SLOW_DRAWS", 3)
    text = draws_in_words(movies.facts, movies.contents, movies.tables["summary"])
    slow = "3 over stretches of neighbouring blocks in similarity, whose matrices are large for Kendall's τ"
    assert text == ("200 draws" if n_draws == 200 else f"200 draws ({slow})")
    path = tmp_path / "net.nc"
    write_scores(one_target(), path)
    batch = geometry_batches.geometry_batches({"g": {"net": path}}, "rsa", Settings())[0]
    assert next(iter(batch.load("net").draws)).score.shape[0] == n_draws


SMALL = Analysis("a", {"VISp": 0.2}, 3, ("mouse-0",))
MODEL = models_of(SMALL)[0]


def one_target():
    """Matrices as large as those of the study, of one animal and the shallowest layer."""
    rng = np.random.default_rng(0)
    model = dataclasses.replace(MODEL, layers=MODEL.layers[:1])
    names = np.array([f"block {i:03d}" for i in range(36)], dtype=object)
    coords = coordinates(SMALL, model, [("mouse-0", "VISp", "")])
    attrs = dict.fromkeys(("study", "analysis", "objective", "weights_sha256", "config_sha", "inputs_sha"), "x")
    attrs |= {
        "created_by": "x",
        "schema_version": SCHEMA_VERSION,
        "kind": "geometry_scores",
        "group": "g",
        "model": "net",
    }
    attrs |= {"metric": "rsa", "comparison": "kendall", "ci_unit": "block", "n_subjects": 1, "seed": 0}
    return xr.Dataset(
        {
            "model_similarity": (("layer", "item", "item2"), np.corrcoef(rng.random((36, 9)))[None]),
            "similarity": (("item", "item2", "target"), np.corrcoef(rng.random((36, 9)))[:, :, None]),
        },
        {**coords, "item": ("item", names), "stretch": ("item", np.arange(36) // 3)},
        {**attrs, "split": '{"n_splits": 2, "seed": 0}'},
    )


def test_other_comparisons_have_all_their_draws(movies, monkeypatch):
    monkeypatch.setattr(methods_module, "MOST_ENTRIES", 1)
    own = movies.contents["similarity"]
    other = dataclasses.replace(own, attrs={**own.attrs, "comparison": "spearman"})
    contents = {**movies.contents, "similarity": other}
    assert draws_in_words(movies.facts, contents, movies.tables["summary"]) == "200 draws"
    subjects = movies.tables["summary"].assign(ci_unit="subject")
    assert draws_in_words(movies.facts, movies.contents, subjects) == "200 draws"


def dataset_of(movies, options):
    facts = movies.facts.analyses[0].dataset
    return dataclasses.replace(
        facts, options=options.model_dump(mode="json"), window_s=options.window_s, units="spikes/s"
    )


def test_calcium_recordings_in_a_sentence(movies):
    options = Allen2pOptions(
        depth_um=(175, 250), stimuli=("natural_movie_one",), session_types=("three_session_A",), min_reliability=0.1
    )
    text = recorded_in_words(dataset_of(movies, options))
    assert text == (
        "Cells in VISp, VISl, VISal, VISpm and VISam were recorded 175 to 250 µm deep during natural movie one "
        "(sessions: three_session_A). A response is the mean of inferred events from 0 to 0.25 s after each frame's "
        "onset, averaged over bins of 15 frames. Left out were cells with a reliability below 0.1."
    )


def test_probes_in_a_sentence(movies):
    options = AllenNeuropixelsOptions(areas=("VISp", "LGd"), stimuli=("natural_scenes",), require_eye_tracking=True)
    text = recorded_in_words(dataset_of(movies, options))
    assert text.startswith("Cells in VISp and LGd were recorded during natural scenes (sessions: ")
    assert "the mean of spikes/s from 0.03 to 0.15 s after each onset." in text
    assert "bins" not in text
    assert "presence ratio below 0.95 or refractory violations above 0.5 and sessions without eye tracking." in text


def test_datasets_without_such_options_say_nothing(scenes):
    assert recorded_in_words(scenes.facts.analyses[0].dataset) == ""


def test_shares_are_means_over_cells_with_their_number(movies):
    table = behaviour_table(movies.facts.analyses[1], movies.contents["cells"].shares)
    assert table.columns == ["Cells", "Subjects", "All jointly", "Running speed, uniquely", "Pupil area, uniquely"]
    rows = dict(table.rows)
    assert list(rows) == ["VISp", "VISl", "VISal", "VISpm", "VISam"]
    # the first mouse has no pupil, the last cell nothing at all
    assert rows["VISp"] == ["3", "3", f"3.0{NBSP}%", f"2.0{NBSP}%", f"1.0{NBSP}% (2 cells)"]
    assert rows["VISam"] == ["2", "2", f"3.0{NBSP}%", f"2.0{NBSP}%", f"1.0{NBSP}% (1 cell)"]
    assert table.note.startswith("1 cell left out")
    assert "beyond all that repeats with the stimulus" in table.sentence
    assert behaviour_table(movies.facts.analyses[0], movies.contents["similarity"].shares) is None


def test_shares_of_several_groups_go_from_lowest_to_highest(movies):
    analysis = movies.facts.analyses[1]
    parts = [
        Shares(["all", "running_speed"], np.array([region]), np.array([mouse]), np.array([[share], [share]]))
        for region, mouse, share in (("VISl", "a", -0.001), ("VISp", "a", 0.02), ("VISp", "b", 0.06))
    ]
    table = behaviour_table(analysis, parts)
    assert table.columns == ["Cells", "Subjects", "Running speed"]
    assert dict(table.rows)["VISp"] == ["2", "2", f"4.0{NBSP}%"]
    assert f"−0.1{NBSP}% (VISl) to 4.0{NBSP}% (VISp)" in table.sentence
    nothing = [dataclasses.replace(parts[0], values=np.full((2, 1), np.nan))]
    assert "Nothing of the kind was measured" in behaviour_table(analysis, nothing).sentence


def test_shares_are_read_once_per_group(movies, tmp_path, write_synthetic_scores):
    assert len(movies.contents["cells"].shares) == 1
    path = tmp_path / "analysis" / "g" / "net.nc"
    write_synthetic_scores(path, ("group",), {"VISp": 0.5}, MODEL)
    assert read_contents([path], ["net"]).shares == []


BOLD_ATTRS = {
    "slice_reference": ("a volume stands for the instant 0.5 TR after its start",),
    "clocks": ("all 49 listeners have one clock",),
    "confounds": ("motion_24",),
    "onset_check": (
        onset_sentence("section 1", 0.21, 0.1, 0.22, 0.04, warns=False),
        onset_sentence("section 2", 0.05, 3.0, 0.31, 0.04, warns=True),
    ),
    "left_out": ("sub-EN058: by the study", "2 scans left out by the authors"),
}


def with_dataset(study, **changes):
    analysis = study.facts.analyses[0]
    analysis = dataclasses.replace(analysis, dataset=dataclasses.replace(analysis.dataset, **changes))
    return dataclasses.replace(study, facts=dataclasses.replace(study.facts, analyses=(analysis,)))


def test_what_bold_recordings_say_of_themselves_is_under_data_and_in_the_methods(listeners):
    text = words(with_dataset(listeners, prepared=BOLD_ATTRS, excluded="s33: constant").page())
    data = text.partition("What was run")[2].partition("Preprocessing")[0]
    methods = text.partition("Methods, ready to paste")[2]
    for part in (data, methods):
        assert (
            "A volume stands for the instant 0.5 TR after its start. Clocks: all 49 listeners have one clock." in part
        )
        assert "Start of the sound: section 1: loudness and auditory cortex correlate at r = 0.21" in part
        assert "Confounds regressed out: motion_24." in part
    assert "Left out: s33: constant." in data
    assert "Not in the recordings: sub-EN058: by the study; 2 scans left out by the authors." in data


def test_a_doubtful_start_of_the_sound_is_said_first_and_under_data(listeners):
    text = words(with_dataset(listeners, prepared=BOLD_ATTRS).page())
    assert text.startswith("The clocks of story may be off: see the warnings under Data.")
    warning = "Section 2: loudness and auditory cortex correlate at r = 0.05 with the configured start, and at 0.31"
    assert text.partition("What was run")[2].count(warning) == 1
    unwarned = {**BOLD_ATTRS, "onset_check": BOLD_ATTRS["onset_check"][:1]}
    assert "may be off" not in words(with_dataset(listeners, prepared=unwarned).page())


def test_stimuli_that_are_nearly_alike_are_said_first_and_under_data(listeners):
    warning = "'story' repeats itself (0.0 to 5.0 s again from 9.0 s): leave it out"
    text = words(with_dataset(listeners, prepared={"alike": (warning,)}).page())
    assert text.startswith("Stimuli of story are nearly alike or repeat themselves")
    assert text.partition("What was run")[2].count(f"{warning}.") == 1 and "clocks of" not in text


def test_equal_items_and_samples_without_a_stimulus_are_under_splits(listeners):
    for equal, missing, said in (
        ("", 5, []),
        (
            "60 items hold 20 different ones (a = b)",
            6,
            ["60 items hold 20 different ones (a = b).", "6 of 100 samples"],
        ),
    ):
        contents = {
            name: dataclasses.replace(
                one, equal=[equal] if equal else [], without_features={"listeners": (missing, 100)}
            )
            for name, one in listeners.contents.items()
        }
        text = words(dataclasses.replace(listeners, contents=contents).page())
        splits = text.partition("Splits and seeds")[2]
        assert ("different ones" in splits, "nothing of the stimulus" in splits) == (bool(said), bool(said))
        assert all(part in splits for part in said)


def test_scores_of_several_models_say_equal_items_once(tmp_path, write_synthetic_scores):
    path = tmp_path / "analysis" / "g" / "net.nc"
    write_synthetic_scores(path, ("group",), {"VISp": 0.5}, MODEL)
    said = {"equal_contents": "2 items", "n_samples": 50, "n_without_features": 7}
    write_scores(open_scores(path).assign_attrs(said), path)
    contents = read_contents([path, path], ["net"])
    assert contents.equal == ["2 items"] and list(contents.without_features.values()) == [(7, 50)]


def test_recordings_that_say_nothing_add_nothing(listeners):
    dataset = listeners.facts.analyses[0].dataset
    assert warnings_of(dataset) == []
    assert left_out_in_words(dataset) == recorded_in_words(dataset) == ""


def test_of_many_different_values_only_some_are_told(listeners):
    values = tuple(f"{n} cells outside" for n in range(40))
    dataset = dataclasses.replace(listeners.facts.analyses[0].dataset, prepared={"left_out": values})
    told = left_out_in_words(dataset)
    assert told == "0 cells outside; 1 cells outside; 2 cells outside; and 37 more, as the recordings say"


def test_resynthesised_stimuli_are_said_first_and_in_the_methods(listeners):
    text = words(with_dataset(listeners, resynthesised=True).page())
    said = "Stimuli resynthesised by eSpeak NG from word timings. What models were given in story is not the sound"
    assert text.startswith(said)
    assert "Stimuli were resynthesised by eSpeak NG from word timings." in text.partition("Methods, ready")[2]
