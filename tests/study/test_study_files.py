"""Study files and --config values: what is refused, and in which words."""

import subprocess
import sys

import pytest
import yaml

from pipeline.core.errors import BadConfiguration, LayermapError, UnknownName
from pipeline.study.load import STUDIES, load_study, load_workflow_config
from pipeline.study.plan import plan_study


@pytest.fixture
def alice():
    return yaml.safe_load((STUDIES.folder / "alice.yaml").read_text())


def write(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def score_keys(plan):
    return {model.name: analysis.score_key(model, None) for analysis in plan.analyses for model in analysis.models}


@pytest.mark.parametrize("name", ["demo", "natsound165", "alice", "alice_unique", "allen_scenes"])
def test_the_shipped_studies_validate_and_plan(name):
    plan = plan_study(load_study(name))
    assert plan.name == name
    assert all(analysis.models for analysis in plan.analyses)
    assert plan.simulated == (name == "demo")


def test_an_unknown_study_names_the_closest():
    with pytest.raises(UnknownName, match=r"unknown study 'alise' \(closest: 'alice'\)"):
        load_study("alise")


def test_a_missing_study_file_is_one_line(tmp_path):
    with pytest.raises(BadConfiguration, match="does not exist"):
        load_study(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ((), "penaltys"),
        (("inference",), "n_boot"),
        (("analyses", "story", "metric"), "penalty"),
        (("analyses", "story", "recording"), "limt"),
    ],
)
def test_unknown_keys_are_refused_wherever_they_stand(tmp_path, alice, where, key):
    section = alice
    for name in where:
        section = section.setdefault(name, {})
    section[key] = 1
    with pytest.raises(BadConfiguration) as caught:
        load_study(write(tmp_path, alice))
    assert key in str(caught.value) and "mine.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_model_layer_dataset_and_contrast_are_one_line(tmp_path, alice):
    alice["analyses"]["story"]["models"][0] = {"name": "smollm2-135n"}
    alice["analyses"]["story"]["contrasts"] = []
    with pytest.raises(UnknownName, match="closest: 'smollm2-135m'"):
        plan_study(load_study(write(tmp_path, alice)))
    alice["analyses"]["story"]["models"][0] = {"name": "smollm2-135m", "layers": ["block99"]}
    with pytest.raises(UnknownName, match="unknown layer of smollm2-135m 'block99'"):
        plan_study(load_study(write(tmp_path, alice)))
    alice["analyses"]["story"]["models"] = ["word-rate"]
    alice["analyses"]["story"]["contrasts"] = [{"name": "x", "model": "word-rate", "reference": "pixels"}]
    with pytest.raises(BadConfiguration, match="names model 'pixels'"):
        load_study(write(tmp_path, alice))
    alice["analyses"]["story"]["recording"]["kind"] = "alicia"
    with pytest.raises(BadConfiguration, match="alicia"):
        load_study(write(tmp_path, alice))


def test_a_baseline_has_no_random_twin(tmp_path, alice):
    alice["analyses"]["story"]["models"] = ["word-rate@random"]
    alice["analyses"]["story"]["contrasts"] = []
    with pytest.raises(LayermapError, match="no random twin"):
        plan_study(load_study(write(tmp_path, alice)))


def test_config_keys_of_the_workflow_are_checked():
    with pytest.raises(BadConfiguration, match="unknown key 'miror'"):
        load_workflow_config({"miror": "x"})
    with pytest.raises(BadConfiguration, match="limit"):
        load_workflow_config({"limit": 0})
    assert load_workflow_config({"study": "alice"}).names == ("alice",)


def test_limit_and_shuffle_are_part_of_the_study():
    study = load_study("alice", limit=3, shuffle=7)
    assert study.study == "alice-shuffled-7" and study.shuffle_seed == 7
    assert study.analyses["story"].recording.limit == 3


def test_keys_change_exactly_when_numbers_can(tmp_path, alice):
    before = plan_study(load_study(write(tmp_path, alice))).analyses[0]
    alice["analyses"]["story"]["metric"]["penalties"] = {"n": 17}
    after = plan_study(load_study(write(tmp_path, alice))).analyses[0]
    assert before.dataset.prep_key == after.dataset.prep_key
    assert before.models[0].act_key(before.dataset, "story") == after.models[0].act_key(after.dataset, "story")
    model = before.models[0]
    assert before.score_key(model, None) != after.score_key(model, None)
    assert before.score_key(model, None) != before.score_key(model, 1)
    twins = [m.act_key(before.dataset, "story") for m in before.models if "@random" in m.name]
    assert len(set(twins)) == len(twins) == 5
    alice["analyses"]["story"]["recording"]["limit"] = 2
    limited = plan_study(load_study(write(tmp_path, alice))).analyses[0]
    assert limited.dataset.key != before.dataset.key and limited.dataset.prep_key != before.dataset.prep_key


def test_every_shipped_study_is_listed():
    assert STUDIES.known() == [
        "alice",
        "alice_bold",
        "alice_unique",
        "allen_movies",
        "allen_neuropixels",
        "allen_scenes",
        "allen_scenes_2p",
        "allen_scenes_2p_metrics",
        "allen_scenes_metrics",
        "demo",
        "narratives_speech",
        "natsound165",
        "natsound165_mappings",
        "petit_prince_trilingual",
        "twins_scenes",
    ]


def test_spaces_of_a_joint_fit_are_models_and_layers_of_the_analysis(tmp_path, alice):
    story = alice["analyses"]["story"]
    story |= {"metric": {"kind": "banded_ridge", "spaces": ["word-rate"], "delays_s": [2, 8]}, "contrasts": []}
    analysis = plan_study(load_study(write(tmp_path, alice))).analyses[0]
    assert [space.name for space in analysis.spaces_of(analysis.model("smollm2-135m"))] == ["word-rate"]
    assert analysis.spaces_of(analysis.model("word-rate")) == ()
    for spaces, models, message in (
        (["word-rates"], None, "model in spaces of analysis 'story' 'word-rates' .closest: 'word-rate'"),
        (["word-rate:rates"], None, "unknown layer of word-rate in spaces of analysis 'story' 'rates'"),
        (["word-rate"], ["word-rate"], "every model is one of the spaces"),
        (["word-rate", "word-rate:rate"], None, "'word-rate:rate' is taken twice"),
        ([], None, "spaces"),
    ):
        story["metric"]["spaces"] = spaces
        story["models"] = models or story["models"]
        with pytest.raises(LayermapError, match=message) as caught:
            plan_study(load_study(write(tmp_path, alice)))
        assert "\n" not in str(caught.value)
        story["models"] = ["smollm2-135m", "word-rate"]


def test_contrasted_and_repeated_layers_are_checked_before_anything_runs(tmp_path, alice):
    alice["analyses"]["story"]["contrasts"][3]["layer"] = "block99"
    with pytest.raises(UnknownName, match="'block99'"):
        plan_study(load_study(write(tmp_path, alice)))
    alice["analyses"]["story"]["contrasts"] = []
    alice["analyses"]["story"]["models"] = [{"name": "smollm2-135m", "layers": ["block1", "block1"]}]
    with pytest.raises(BadConfiguration, match="'block1' of smollm2-135m is listed twice"):
        plan_study(load_study(write(tmp_path, alice)))


@pytest.mark.parametrize(("where", "value"), [(("inference", "seed"), -1), (("shuffle_seed",), -1)])
def test_seeds_are_not_negative(tmp_path, alice, where, value):
    section = alice
    for name in where[:-1]:
        section = section.setdefault(name, {})
    section[where[-1]] = value
    with pytest.raises(BadConfiguration, match="greater than or equal to 0"):
        load_study(write(tmp_path, alice))


def streams(ventral=("VISl", "VISpm"), dorsal=("VISal", "VISam"), name="published"):
    return {"name": name, "ventral": list(ventral), "dorsal": list(dorsal)}


def test_what_is_tested_in_other_orders():
    """Scores of ridge, and what layers add in joint fits; nothing of twins."""
    for name in ("alice", "alice_unique"):
        plan = plan_study(load_study(name)).analyses[0]
        orders = {model.name: plan.null_of(model).n for model in plan.models}
        assert orders["smollm2-135m"] == orders["word-rate"] == 1000
        assert orders["smollm2-135m@random-0"] == 0
    assert plan_study(load_study("natsound165_mappings")).analysis("partial-least-squares").null.n == 0


def test_orders_change_the_keys_of_what_is_tested_alone(tmp_path, alice):
    before = plan_study(load_study(write(tmp_path, alice)))
    alice["inference"] = {"permutations": 500}
    after = plan_study(load_study(write(tmp_path, alice)))
    changed = {name for name, key in score_keys(after).items() if key != score_keys(before)[name]}
    assert changed == {name for name in score_keys(before) if "@" not in name}
    alice["inference"] = {"permutations": 0}
    none = plan_study(load_study(write(tmp_path, alice)))
    alice["inference"] = {"permutations": 0, "seed": 7}
    assert score_keys(plan_study(load_study(write(tmp_path, alice)))) == score_keys(none)


def test_the_order_of_networks_changes_what_is_simulated(tmp_path, alice):
    before = plan_study(load_study(write(tmp_path, alice))).analyses[0]
    alice["analyses"]["story"]["models"].reverse()
    after = plan_study(load_study(write(tmp_path, alice))).analyses[0]
    assert before.identifiability_key(None) != after.identifiability_key(None)
    assert score_keys(plan_study(load_study(write(tmp_path, alice)))).keys() == {model.name for model in before.models}


def test_streams_are_read_and_change_the_map_only(tmp_path, alice):
    before = plan_study(load_study(write(tmp_path, alice)))
    alice["analyses"]["story"]["streams"] = [streams(), streams(ventral=["VISl"], name="VISpm omitted")]
    after = plan_study(load_study(write(tmp_path, alice)))
    assert [one.ventral for one in after.analyses[0].analysis.streams] == [("VISl", "VISpm"), ("VISl",)]
    assert before.map_key() != after.map_key()
    assert score_keys(before) == score_keys(after)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([streams(dorsal=["VISam", "VISpm"])], "streams 'published': region 'VISpm' is listed twice"),
        ([streams(), streams(dorsal=["VISam"])], "streams 'published' are listed twice"),
        ([streams(ventral=[])], "ventral"),
        ([streams(name="published (2021)")], "name"),
        ([{**streams(), "neither": ["VISp"]}], "neither"),
    ],
)
def test_wrong_streams_are_one_line(tmp_path, alice, given, message):
    alice["analyses"]["story"]["streams"] = given
    with pytest.raises(BadConfiguration) as caught:
        load_study(write(tmp_path, alice))
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["IFG", "IFG\u200b"], "region_order: name 'IFG' stands twice"),
        (["IFG", "ifg"], "region_order: names 'IFG' and 'ifg' differ only in case, width or spaces"),
        (["\u200b"], "has no character that can be seen"),
        (["IF\x07G"], "holds the control character U+0007"),
    ],
)
def test_names_of_regions_that_mislead_are_one_line(tmp_path, alice, given, message):
    alice["analyses"]["story"]["region_order"] = given
    with pytest.raises(BadConfiguration) as caught:
        load_study(write(tmp_path, alice))
    assert message in str(caught.value).replace("'region_order'", "region_order") and "\n" not in str(caught.value)


def test_names_of_regions_are_cleaned_and_compared_within_streams(tmp_path, alice):
    alice["analyses"]["story"]["region_order"] = ["IFG\u200b", "cafe\u0301 "]
    study = load_study(write(tmp_path, alice))
    assert study.analyses["story"].region_order == ("IFG", "caf\u00e9")
    alice["analyses"]["story"]["streams"] = [streams(dorsal=["VISal", "visl"])]
    with pytest.raises(BadConfiguration, match="names 'VISl' and 'visl' differ only in case"):
        load_study(write(tmp_path, alice))


def languages(**changes):
    return {
        "listeners": {"EN": "en", "FR": "fr"},
        "models": {"smollm2-135m": "en", "word-rate": "fr"},
        **changes,
    }


def domains(**changes):
    one = {
        "listeners_domain": {"EN": "book", "FR": "talk"},
        "models_domain": {"smollm2-135m": "book", "word-rate": "talk"},
    }
    return languages(**one, **changes)


def test_languages_are_read_and_change_the_map_only(tmp_path, alice):
    before = plan_study(load_study(write(tmp_path, alice)))
    alice["analyses"]["story"]["languages"] = languages()
    after = plan_study(load_study(write(tmp_path, alice)))
    assert after.analyses[0].analysis.languages.models == {"smollm2-135m": "en", "word-rate": "fr"}
    assert before.map_key() != after.map_key()
    assert score_keys(before) == score_keys(after)
    alice["analyses"]["story"]["languages"] = domains()
    assert plan_study(load_study(write(tmp_path, alice))).map_key() != after.map_key()
    # one language, two kinds of sound: the domain is what is tested
    alice["analyses"]["story"]["languages"] = domains(
        listeners={"EN": "en", "FR": "en"}, models={"smollm2-135m": "en", "word-rate": "en"}
    )
    load_study(write(tmp_path, alice))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (languages(models={"smollm2-135m": "en", "net-fr": "fr"}), "languages names model 'net-fr', which"),
        (languages(models={"smollm2-135m": "en", "smollm2-135m@random-0": "fr"}), "a twin that learned no language"),
        (languages(listeners={"EN": "EN", "FR": "fr"}), "language 'EN' of EN must be a lower-case code"),
        (languages(listeners={"EN": "en", "FR": "en"}), "no two models differ in which listeners' language"),
        (languages(models={"smollm2-135m": "en", "word-rate": "en"}), "no two models differ"),
        (languages(models_domain={"smollm2-135m": "book", "word-rate": "talk"}), "give both listeners_domain and"),
        ({**domains(), "listeners_domain": {"EN": "book"}}, "listeners_domain must name the same as listeners; 'FR'"),
        (languages(listeners={"EN": "en"}), "listeners"),
    ],
)
def test_wrong_languages_are_one_line(tmp_path, alice, given, message):
    alice["analyses"]["story"]["languages"] = given
    with pytest.raises(BadConfiguration) as caught:
        load_study(write(tmp_path, alice))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_title_hides_nothing_else(tmp_path, alice):
    del alice["title"]
    alice["analyses"]["story"]["metrik"] = 1
    alice["analyses"]["story"]["recording"]["limit"] = 0
    with pytest.raises(BadConfiguration) as caught:
        load_study(write(tmp_path, alice))
    message = str(caught.value)
    assert message.endswith("key 'title' is missing; add it") and "more)" not in message
    assert message.index("unknown key 'analyses.story.metrik'") < message.index("limit: ") < message.index("'title'")


def test_three_problems_are_told_and_the_others_counted(tmp_path, alice):
    alice.update({f"key{number}": 1 for number in range(5)})
    with pytest.raises(BadConfiguration) as caught:
        load_study(write(tmp_path, alice))
    message = str(caught.value)
    assert all(f"unknown key 'key{number}'" in message for number in range(3)) and message.endswith(" (and 2 more)")
    assert "\n" not in message


def test_an_analysis_copied_with_its_name_is_refused(tmp_path):
    text = (STUDIES.folder / "alice.yaml").read_text()
    path = tmp_path / "twice.yaml"
    path.write_text(text + text.split("analyses:\n")[1])
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "catalogue", "--study", "twice.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    said = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert "twice.yaml, line " in said and "the key 'story' stands twice, first in line 6" in said
    path.write_text(text.replace("n_folds: 6,", "n_folds: 6, n_folds: 20,"))
    with pytest.raises(BadConfiguration, match="the key 'n_folds' stands twice"):
        load_study(str(path))


def test_text_that_yaml_would_take_for_something_else(tmp_path, alice):
    """Keys are text; a value that could be a number or a truth value has to say which."""
    path = tmp_path / "s.yaml"
    alice["title"] = "TITLE"
    text = yaml.safe_dump(alice)
    path.write_text(text.replace("title: TITLE", "title: 2020-01-01"))
    assert load_study(str(path)).title == "2020-01-01"
    for value, words in (("no", "'no' means different things"), ("010", "'010' means different things")):
        path.write_text(text.replace("title: TITLE", f"title: {value}"))
        with pytest.raises(BadConfiguration, match=words):
            load_study(str(path))
        path.write_text(text.replace("title: TITLE", f"title: '{value}'"))
        assert load_study(str(path)).title == value
    path.write_text(text.replace("title: TITLE", "title: 12"))
    with pytest.raises(BadConfiguration, match=r"title: Input should be a valid string \(got 12\)"):
        load_study(str(path))


def test_too_few_data_sets_for_a_share_are_refused(tmp_path, alice):
    content = dict(alice)
    content["inference"] = {"calibration": {"n": 4}}
    with pytest.raises(BadConfiguration, match=r"4 data sets say nothing about a share: take 5 or more, or 0"):
        load_study(write(tmp_path, content))
    for n in (0, 5, 200):
        content["inference"] = {"calibration": {"n": n}}
        assert load_study(write(tmp_path, content)).inference.calibration.n == n


@pytest.mark.parametrize("n", [1, 19])
def test_too_few_permutations_for_any_p_are_refused(tmp_path, alice, n):
    content = dict(alice)
    content["inference"] = {"permutations": n}
    with pytest.raises(BadConfiguration, match=f"{n} orders allow no p below .05: take 20 or more, or 0 for no p"):
        load_study(write(tmp_path, content))
    assert load_study(write(tmp_path, content), permutations=0).inference.permutations == 0
    assert load_study(write(tmp_path, content), permutations=20).inference.permutations == 20
