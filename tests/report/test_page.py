"""The page holds everything it shows, says first what must be known first, and is the same each time."""

import base64
import dataclasses
import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plotly.offline import get_plotlyjs

from pipeline.artifacts.map import TABLES, csv_path, write_map
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import BrokenArtifact
from pipeline.report import wording
from pipeline.report.provenance import TITLES, StageTime, downloads
from pipeline.report.read_scores import Reference
from pipeline.report.sections.methods_text import methods_text
from pipeline.report.stage import build_page
from tests.report.synthetic_study import metric_facts

pytestmark = pytest.mark.slow

STUDIES = ["simulated", "listeners", "sounds", "scenes", "pathways", "shuffled", "movies", "cortex"]
MOST_BYTES = 10_000_000
ROOT = Path(__file__).parents[2]


class Reader(HTMLParser):
    """Collects ids, addresses and the visible text."""

    def __init__(self):
        super().__init__()
        self.ids, self.addresses, self.text, self.hidden = [], [], [], 0

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.addresses += [found[key] for key in ("href", "src", "srcset", "action") if key in found]
        self.hidden += tag in ("script", "style", "title")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style", "title")

    def handle_data(self, data):
        if not self.hidden:
            self.text.append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader


def words(page):
    return " ".join(" ".join(read(page).text).split())


@pytest.mark.parametrize("name", STUDIES)
def test_nothing_is_fetched_and_ids_are_unique(name, request):
    page = request.getfixturevalue(name).page()
    reader = read(page)
    assert all(address.startswith(("#", "data:")) for address in reader.addresses)
    assert {address[1:] for address in reader.addresses if address.startswith("#")} <= set(reader.ids)
    assert len(set(reader.ids)) == len(reader.ids)
    assert "default-src 'none'" in page
    assert len(page.encode()) < MOST_BYTES


@pytest.mark.parametrize("name", STUDIES)
def test_every_figure_has_a_caption_with_its_command(name, request):
    page = request.getfixturevalue(name).page()
    captions = re.findall(r"<figcaption.*?</figcaption>", page, flags=re.DOTALL)
    assert len(captions) == page.count("<figure ") > 4
    assert all("python -m pipeline report" in caption and "Numbers:" in caption for caption in captions)
    assert not re.search(r"\{[a-z_]+\}", " ".join(captions))
    numbers = [int(number) for number in re.findall(r"Figure (\d+)\.", " ".join(captions))]
    assert numbers == list(range(1, len(captions) + 1))


def test_same_inputs_same_bytes(simulated):
    assert simulated.page() == simulated.page()


def test_simulations_say_so_first(simulated, listeners):
    assert words(simulated.page()).startswith("These are simulations:")
    assert "These are simulations" not in words(listeners.page())


def test_shuffled_studies_say_so_first(shuffled):
    text = words(shuffled.page())
    assert text.startswith("The responses were shuffled (seed 3)")
    assert "nothing should be found" in text


def test_a_simulation_that_is_shuffled_says_both(simulated):
    facts = dataclasses.replace(simulated.facts, shuffle_seed=7)
    text = words(build_page(facts, simulated.tables, simulated.contents, [], []))
    assert text.index("These are simulations") < text.index("were shuffled (seed 7)") < text.index("A simulated study")


def test_rolled_blocks_need_not_give_nothing(movies, shuffled):
    facts = dataclasses.replace(movies.facts, shuffle_seed=7)
    text = words(build_page(facts, movies.tables, movies.contents, [], []))
    start = text.partition("A movies study")[0]
    assert "In similarity, whose blocks of time were rolled, neighbouring blocks stay alike" in start
    assert "(blocks of a stimulus by at least 20 s or a third of it)" in text
    other = words(shuffled.page())
    assert "slowness" not in other
    assert "a third of it" not in other


def test_names_from_data_cannot_become_markup(simulated):
    page = simulated.page()
    assert "baseline-a &lt;b&gt;features&lt;/b&gt;" in page
    assert "<b>features</b>" not in page


def test_methods_follow_the_configuration(simulated, sounds, scenes):
    time, items, rsa = (words(study.page()) for study in (simulated, sounds, scenes))
    assert "5 contiguous outer folds; training samples within 10 s" in time
    assert "delays from 0 to 0.5 s (Nishimoto et al. 2011)" in time
    assert "among 21 values, log-spaced from 10⁻⁴ to 10⁶" in time
    assert "training Gram matrix, by squared error in 4 inner folds of the training samples." in time
    assert "split-half correlation over repeats" in time
    assert "divided at random (seed 0) into 5 outer folds" in items
    assert "delays" not in items.partition("Methods, ready to paste")[2].partition("References")[0]
    assert "Within-category scores use" in items
    assert "so that no ceiling is known" in items
    assert "Spearman's ρ over the pairs" in rsa
    assert "chosen by the scores of the inner folds" in time
    assert "one half of the items or stretches" not in time
    assert "one half of the items or stretches and scored on the other; nothing is trained" in rsa
    assert "inner folds, that is" not in rsa
    assert "Nishimoto S, Vu AT" in time
    assert "Nishimoto S, Vu AT" not in rsa


def methods_of(simulated, metric, options=(), **contents):
    own = dataclasses.replace(simulated.facts.analyses[0], **metric_facts(metric))
    own = dataclasses.replace(own, options={**own.options, **dict(options)})
    facts = dataclasses.replace(simulated.facts, analyses=(own,))
    known = {own.name: dataclasses.replace(simulated.contents[own.name], **contents)}
    return " ".join(methods_text(facts, known, simulated.tables["summary"]).paragraphs)


def test_metrics_without_inner_folds_say_that_their_choice_of_layers_leaks(simulated):
    assert "come out somewhat too high" not in methods_of(simulated, "mapping", {"predict": "own.py:fit"})
    without = methods_of(simulated, "theirs", without_inner=True)
    assert "by metric theirs" in without and "so that nested scores come out somewhat too high" in without
    assert "by the scores of the inner folds" not in without


def test_methods_name_every_mapping(simulated):
    fixed = methods_of(simulated, "fixed_ridge", {"penalty": 1.0, "penalty_unit": "absolute"})
    assert "one fixed penalty for all targets, 1, added to the eigenvalues" in fixed
    pls = methods_of(simulated, "pls", {"n_components": 25, "together": "region"}, fewest_components=16)
    assert "(Wold et al. 2001) with 25 components (down to 16 where" in pls
    assert "which the targets of one subject in one region share." in pls
    assert "by the one unit, at one delay, that correlates best" in methods_of(simulated, "best_unit")
    assert "R² is 1 − Σ(y − p)²/Σ(y − ȳ)² over the held-out samples" in pls
    assert "Gram matrix, by Pearson's r in 4 inner folds" in methods_of(simulated, "ridge", {"choose_by": "r"})


def test_every_ceiling_is_explained_from_its_words(simulated, monkeypatch):
    def methods(kind):
        tables = {"summary": simulated.tables["summary"].assign(ceiling=0.5, ceiling_kind=kind)}
        return methods_of(dataclasses.replace(simulated, tables=tables), "ridge")

    halves, subjects = "Reliability is the split-half correlation", "Reliability follows from the mean pairwise"
    both = methods("split_half_spearman_brown | intersubject_single | intersubject_mean")
    assert both.count(halves) == both.count(subjects) == 1 and both.index(halves) < both.index(subjects)
    assert "formula (Spearman 1910; Brown 1910); the ceiling of r is its square root. Reliability follows" in both
    assert halves not in methods("across_animals") and subjects not in methods("none")
    own = wording.CeilingWords("√ own", "Own reliability ({{ cite('brown') }}).", "what is our own")
    monkeypatch.setitem(wording.CEILINGS, "own", own)
    assert "Own reliability (Brown 1910)." in methods("own | none")
    assert wording.ceiling_limit("none | own") == "what is our own"


def test_twins_pathways_and_untrained_networks_in_words(pathways, simulated):
    text = words(pathways.page())
    methods = text.partition("Methods, ready to paste")[2]
    assert "13 layers in 2 pathways (path1, path2)" in methods
    assert "Random twins of net (seeds 0, 1) have its architecture, with weights drawn" in methods
    assert (
        "Shuffled twins of net (seeds 0, 1) have its architecture, with the weights of each trained tensor" in methods
    )
    assert "Own, a network (Maker & Other 2020, A Conference), untrained, gave 6 layers" in methods
    assert "depth runs from 0 to 1 within each" in methods
    assert "net@shuffled-0 and net@shuffled-1 Net, a network shuffled twin 1,234,567" in text
    assert "own-net Own, a network untrained not counted 6" in text
    assert "not a test of the learning objective" in text
    alone = words(simulated.page())
    assert "pathway" not in alone
    assert "huffled twin" not in alone


def test_new_sections_stand_with_the_findings(movies, simulated):
    found = words(movies.page()).partition("Numbers appear on hovering")[0]
    places = [
        found.index(name) for name in ("Two streams Which", "Depth in the network", "Running and pupil Taken out")
    ]
    assert places == sorted(places)
    assert "published ventral VISl, VISpm; dorsal VISal, VISam anatomical ventral VISl;" in found
    assert "Not told one by one: the 9 subjects behind the averages" in found
    assert "Two streams" not in words(simulated.page())
    assert "Running and pupil" not in words(simulated.page())
    assert "Depth index Hierarchy index Held-out r" in words(simulated.page())


def test_blocks_are_not_called_items(movies):
    text = words(movies.page())
    own = text.partition("Block × block similarities of the target")[2].partition("Figure")[0]
    assert "matches best on all blocks" in own
    assert "item" not in own
    assert "Bootstrap: 200 draws; 95 % intervals; seed 0" in text


def test_wall_times_or_that_there_are_none(simulated):
    times = [StageTime("encode", 75.0, 2, 3), StageTime("map", None, 0, 1)]
    text = words(simulated.page(times=times))
    assert "encode 1 min 15 s 2 of 3" in text
    assert "map not measured 0 of 1" in text


def test_an_analysis_without_rows_is_one_line(simulated):
    tables = {name: table[table["analysis"] == "other"] for name, table in simulated.tables.items()}
    with pytest.raises(BrokenArtifact, match="has no rows of analysis 'mouse'"):
        build_page(simulated.facts, tables, simulated.contents, [], [])


def contents_of(uri):
    return base64.b64decode(uri.partition("base64,")[2])


def test_downloads_are_the_files_themselves(simulated, tmp_path):
    path = tmp_path / "simulated.nc"
    write_map(simulated.tables, {**standard_attrs("map", "test", "c", "i"), "study": "simulated"}, path)
    found = downloads(path, simulated.tables)
    assert [one.file_name for one in found] == ["simulated.csv", "simulated-summary.csv", "simulated-contrasts.csv"]
    for one, table in zip(found, TITLES, strict=True):
        assert contents_of(one.uri) == csv_path(path, table).read_bytes()


SNIPPET = re.compile(r'pandas\.read_csv\("[^"]+", [^)]*\)')


@pytest.mark.parametrize("place", ["docs/contracts.md", "pipeline/report/templates/page.html.j2"])
def test_the_map_is_read_as_the_docs_say_whatever_regions_are_called(simulated, tmp_path, place):
    tables = {name: table.copy() for name, table in simulated.tables.items()}
    summary = tables["summary"]
    names = dict(zip(summary["region"].unique(), ["NA", "nan", "None", "null"], strict=False))
    summary["region"] = summary["region"].map(lambda region: names.get(region, region))
    summary.loc[summary.index[0], "ceiling"] = np.nan
    path = tmp_path / "simulated.nc"
    write_map(tables, {**standard_attrs("map", "test", "c", "i"), "study": "simulated"}, path)
    snippet = SNIPPET.search((ROOT / place).read_text())[0]
    found = eval(re.sub(r'"[^"]+\.csv"', "file", snippet, count=1), {"pandas": pd, "file": csv_path(path, "summary")})
    assert found["region"].tolist() == summary["region"].tolist() and set(names.values()) <= set(found["region"])
    assert np.isnan(found["ceiling"].iloc[0]) and found["best_layer_score"].dtype == float
    np.testing.assert_allclose(found["best_layer_score"], summary["best_layer_score"])


def test_a_missing_table_is_one_line(simulated, tmp_path):
    with pytest.raises(BrokenArtifact, match=r"simulated\.csv is missing; make it with"):
        downloads(tmp_path / "simulated.nc", simulated.tables)


def as_large_as_alice(listeners):
    """31 layers × 6 regions × 29 subjects × 8 models, with as many digits as real numbers have."""
    rng = np.random.default_rng(0)
    like = listeners.tables["row"].iloc[0].to_dict()
    subjects = ["all", "mean", *(f"s{i:02d}" for i in range(27))]
    models = [
        ("net", "supervised"),
        *((f"net@random-{i}", "random") for i in range(5)),
        ("word-rate", "baseline"),
        ("sound-power", "baseline"),
    ]
    rows = []
    for model, objective in models:
        for subject in subjects:
            for region in ("LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG"):
                for k in range(31 if objective != "baseline" else 1):
                    values = dict(
                        zip(("score", "ci_low", "ci_high", "ceiling", "score_normalised"), rng.random(5), strict=True)
                    )
                    rows.append(
                        {
                            **like,
                            **values,
                            "model": model,
                            "objective": objective,
                            "subject": subject,
                            "region": region,
                            "layer": f"block{k}",
                            "layer_index": k,
                            "relative_depth": k / 30,
                        }
                    )
    row = pd.DataFrame(rows)
    summary = row.drop_duplicates(["model", "subject", "region"])
    blank = {**listeners.tables["summary"].iloc[0].to_dict()}
    summary = summary.reindex(columns=list(TABLES["summary"])).fillna(blank)
    return {**listeners.tables, "row": row, "summary": summary}


def test_a_study_of_many_listeners_stays_under_ten_megabytes(listeners, tmp_path):
    tables = as_large_as_alice(listeners)
    path = tmp_path / "alice.nc"
    write_map(tables, {**standard_attrs("map", "test", "c", "i"), "study": "alice"}, path)
    found = downloads(path, tables)
    page = build_page(listeners.facts, tables, listeners.contents, [], found)
    assert len(tables["row"]) > 30_000
    assert len(page.encode()) < MOST_BYTES
    kept = gzip.decompress(contents_of(found[0].uri)).decode()
    assert kept.count("\n") - 1 in (len(tables["row"]), tables["row"]["subject"].isin(["all", "mean"]).sum())
    assert "compressed" in found[0].note


def of_thirty_mice(movies, n_layers=22):
    """A map of 30 mice with all five areas, two networks with five twins each and two baselines."""
    rng = np.random.default_rng(0)
    mice = [f"mouse-{200_000 + i}" for i in range(30)]
    networks = ("net", "other-net")
    models = [
        *networks,
        *(f"{name}@random-{seed}" for name in networks for seed in range(5)),
        "pixels",
        "motion-energy",
    ]
    tables = dict(movies.tables)
    for name in TITLES:
        table = tables[name]
        own = table[(table["analysis"] == "similarity") & (table["model"] == "net") & (table["subject"] == "all")]
        per_subject = own[~own["contrast"].str.startswith(("streams", "depth order"))] if name == "contrast" else own
        parts = [own, *(per_subject.assign(subject=mouse) for mouse in mice)]
        if name != "contrast":
            parts = [part.assign(model=model) for part in parts for model in models]
        if name == "row":
            parts = [pd.concat([part] * (n_layers // 7)) for part in parts]
        tables[name] = pd.concat(parts, ignore_index=True)
        numbers = tables[name].select_dtypes("float64").columns
        tables[name][numbers] = rng.random((len(tables[name]), len(numbers)))
    return mice, tables


def test_a_study_of_thirty_mice_stays_under_three_megabytes_of_its_own(movies, tmp_path):
    mice, tables = of_thirty_mice(movies)
    path = tmp_path / "movies.nc"
    write_map(tables, {**standard_attrs("map", "test", "c", "i"), "study": "movies"}, path)
    targets = [(mouse, region) for mouse in mice for region in ("VISp", "VISl", "VISal", "VISpm", "VISam")]
    subjects, regions = ([one[part] for one in targets] for part in (0, 1))
    contents = movies.contents["similarity"]
    reference = Reference(subjects, regions, subjects, np.random.default_rng(0).random((150, 150)))
    facts = dataclasses.replace(movies.facts, analyses=movies.facts.analyses[:1])
    found = {"similarity": dataclasses.replace(contents, reference=reference)}
    page = build_page(facts, tables, found, [], downloads(path, tables))
    assert len(tables["row"]) > 40_000
    assert len(page.encode()) - len(get_plotlyjs().encode()) < 3_000_000
    text = words(page)
    assert "the 30 subjects behind the averages" in text
    assert "mouse-200029" not in text
