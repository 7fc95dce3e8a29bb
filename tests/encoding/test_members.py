"""Several animals encoded together, and cells matched over sessions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.activations import Activations
from pipeline.artifacts.scores import open_scores, write_scores
from pipeline.core.errors import BadConfiguration, LayermapError, SampleMismatch
from pipeline.encoding.group import group_data as group_module
from pipeline.encoding.group.group_data import open_group
from pipeline.encoding.mappings.ridge import RIDGE, RidgeOptions
from pipeline.encoding.stage import encode_group
from tests.encoding.imaged_groups import (
    ATTRS,
    IN_TIME,
    OF_ITEMS,
    Session,
    driven,
    features,
    items,
    write_activations,
)

pytestmark = pytest.mark.slow

N = 60
PER_TARGET = ("sum_p", "sum_p2", "sum_py", "sum_y", "sum_y2", "penalty", "reliability", "constant")


def encode(runs: list[tuple[Path, Path]], options: RidgeOptions = OF_ITEMS) -> xr.Dataset:
    return encode_group(RIDGE, runs=runs, options=options, layers=None, attrs=ATTRS, shuffle_seed=None)


def animal(number: int, n_targets: int = 3, n_repeats: int = 4) -> Session:
    cells = [f"m{number}-c{i}" for i in range(n_targets)]
    responses = driven(n_targets, n_repeats, seed=number)
    return Session(responses, items(N), cells, f"mouse-{number}", attrs={"member": f"mouse-{number}"})


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_activations(tmp_path / "a.zarr", features(N), items(N))


def refusal(runs: list[tuple[Path, Path]], *parts: str, error: type[LayermapError] = SampleMismatch) -> None:
    with pytest.raises(error) as caught:
        open_group(runs, OF_ITEMS)
    assert "\n" not in str(caught.value)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_stacked_members_equal_members_encoded_one_by_one(tmp_path: Path, scenes: Path) -> None:
    """With other numbers of repeats and targets in each."""
    animals = [animal(0, n_repeats=4), animal(1, 2, n_repeats=6), animal(2, 4, n_repeats=3)]
    runs = [(session.write(tmp_path / f"{i}.nc"), scenes) for i, session in enumerate(animals)]
    together = encode(runs)
    assert together.attrs["n_subjects"] == 3 and together.sizes["target"] == 9
    for number, run in enumerate(runs):
        alone = encode([run])
        stacked = together.isel(target=together["subject"].values == f"mouse-{number}")
        assert stacked["target"].values.tolist() == alone["target"].values.tolist()
        assert set(stacked["member"].values.tolist()) == {f"mouse-{number}"}
        for name in PER_TARGET:
            np.testing.assert_allclose(stacked[name], alone[name], atol=1e-5, err_msg=name)
    assert np.all(together["reliability"] > 0.3)
    write_scores(together, tmp_path / "scores.nc")
    assert open_scores(tmp_path / "scores.nc")["ceiling"].shape == (9,)


def test_stacked_members_in_time_behind_a_filter_equal_those_alone(tmp_path: Path) -> None:
    clock = 0.5 * np.arange(1, 161)
    movie = write_activations(tmp_path / "a.zarr", features(160), clock, "movie")
    runs = []
    for number in range(2):
        session = Session(driven(3, 3, 160, number), clock, [f"m{number}-c{i}" for i in range(3)], f"mouse-{number}")
        stated = {"member": f"mouse-{number}", "high_pass_s": 30.0}
        session = dataclasses.replace(session, stimulus="movie", attrs=stated)
        runs.append((session.write(tmp_path / f"{number}.nc"), movie))
    together = encode(runs, IN_TIME)
    for number, run in enumerate(runs):
        alone, stacked = encode([run], IN_TIME), together.isel(target=together["subject"].values == f"mouse-{number}")
        for name in PER_TARGET:
            np.testing.assert_allclose(stacked[name], alone[name], atol=1e-5, err_msg=name)


def test_cells_are_matched_over_sessions_by_name(tmp_path: Path) -> None:
    """Session B has its cells in another order, lacks c1 and has c9: c0, c2, c3 stay, in the order of session A."""
    first, second = driven(4, seed=3), driven(4, seed=3, stimulus_seed=1)
    order = [3, 0, 2]
    extra = np.random.default_rng(0).standard_normal((4, N, 1))
    stated = {"attrs": {"member": "field"}}
    a = Session(first, items(N), ["c0", "c1", "c2", "c3"], **stated)
    b = Session(np.concatenate([second[:, :, order], extra], 2), items(N), ["c3", "c0", "c2", "c9"], **stated)
    b = dataclasses.replace(b, stimulus="others")
    shown = [
        write_activations(tmp_path / "a.zarr", features(N), items(N)),
        write_activations(tmp_path / "b.zarr", features(N, 1), items(N), "others"),
    ]
    group = open_group([(a.write(tmp_path / "a.nc"), shown[0]), (b.write(tmp_path / "b.nc"), shown[1])], OF_ITEMS)
    assert group.targets["target"].tolist() == ["c0", "c2", "c3"] and group.n_subjects == 1
    expected = np.concatenate([first, second], axis=1)[:, :, [0, 2, 3]].astype(np.float32)
    np.testing.assert_array_equal(group.responses, expected)
    np.testing.assert_array_equal(group.features("layer"), np.concatenate([features(N), features(N, 1)]).astype("f4"))


def test_sessions_with_fewer_repeats_are_filled_up(tmp_path: Path, scenes: Path) -> None:
    stated = {"attrs": {"member": "field"}}
    sessions = [Session(driven(2, n, seed=n), items(N), ["c0", "c1"], **stated) for n in (2, 5)]
    group = open_group([(s.write(tmp_path / f"{i}.nc"), scenes) for i, s in enumerate(sessions)], OF_ITEMS)
    assert group.responses.shape == (5, 2 * N, 2)
    assert np.isnan(group.responses[2:, :N]).all() and np.isfinite(group.responses[:, N:]).all()


def mixed(number: int, n_repeats: dict[str, int]) -> tuple[Session, dict[str, Session]]:
    """An animal that saw several movies, ``n_repeats`` of each, in one recording and in one for each movie."""
    clock = 0.5 * np.arange(1, 81)
    most = max(n_repeats.values())
    generator = np.random.default_rng([number, 4])
    stated = {"member": f"mouse-{number}", "high_pass_s": 20.0}
    cells = [f"m{number}-c{i}" for i in range(3)]
    apart, padded, speeds = {}, [], []
    for place, (movie, n) in enumerate(n_repeats.items()):
        speed = generator.standard_normal((n, 80))
        responses = driven(3, n, 80, 10 * number + place, stimulus_seed=place) + speed[:, :, None]
        of_one = {"running_speed_cm_s": (("repeat", "sample"), speed)}
        apart[movie] = Session(responses, clock, cells, f"mouse-{number}", movie, variables=of_one, attrs=stated)
        padded.append(np.pad(responses, ((0, most - n), (0, 0), (0, 0)), constant_values=np.nan))
        speeds.append(np.pad(speed, ((0, most - n), (0, 0)), constant_values=np.nan))
    whole = dataclasses.replace(
        apart[next(iter(apart))],
        responses=np.concatenate(padded, axis=1),
        clock=np.tile(clock, len(n_repeats)),
        stimulus=np.repeat(list(n_repeats), 80),
        variables={"running_speed_cm_s": (("repeat", "sample"), np.concatenate(speeds, axis=1))},
    )
    return whole, apart


@pytest.fixture
def movies(tmp_path: Path) -> dict[str, Path]:
    clock = 0.5 * np.arange(1, 81)
    return {
        name: write_activations(tmp_path / f"{name}.zarr", features(80, place), clock, name)
        for place, name in enumerate(("one", "two", "three"))
    }


def test_a_recording_of_several_stimuli_equals_one_of_each(
    tmp_path: Path, movies: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit: two animals, movies with other numbers of repeats, one movie that nobody asks for."""
    animals = [mixed(number, {"one": 4, "two": 7, "three": 5}) for number in range(2)]
    wholes = [whole.write(tmp_path / f"{number}.nc") for number, (whole, _) in enumerate(animals)]
    read: list[Path] = []
    once = group_module.open_recording_blocks
    monkeypatch.setattr(group_module, "open_recording_blocks", lambda path: (read.append(path), once(path))[1])
    options = IN_TIME.model_copy(update={"nuisance": ("running_speed",)})
    joined, single = [], []
    for movie in ("one", "three"):
        for number, (_, apart) in enumerate(animals):
            joined.append((wholes[number], movies[movie]))
            single.append((apart[movie].write(tmp_path / f"{number}-{movie}.nc"), movies[movie]))
    group, expected = open_group(joined, options), open_group(single, options)
    assert read[:2] == wholes and len(read) == 2 + 4
    assert group.responses.shape == (5, 160, 6) and np.isnan(group.responses[4, :80]).all()
    np.testing.assert_array_equal(group.responses, expected.responses)
    np.testing.assert_array_equal(group.features("layer"), expected.features("layer"))
    for of, others in zip(group.nuisance.regressors, expected.nuisance.regressors, strict=True):
        np.testing.assert_array_equal(of, others)
    assert group.samples.stimulus.tolist() == ["one"] * 80 + ["three"] * 80
    xr.testing.assert_identical(encode(joined, options), encode(single, options))


def test_repeats_of_a_stimulus_that_is_not_used_do_not_count(tmp_path: Path, movies: dict[str, Path]) -> None:
    whole, apart = mixed(0, {"one": 1, "three": 6})
    unseen = whole.responses.copy()
    unseen[:, 90] = np.nan  # a sample of the other movie without any response
    path = dataclasses.replace(whole, responses=unseen).write(tmp_path / "whole.nc")
    group = open_group([(path, movies["one"])], IN_TIME)
    np.testing.assert_array_equal(group.responses, apart["one"].responses.astype(np.float32))
    with pytest.raises(BadConfiguration, match=r"whole\.nc has 1 of them"):
        open_group([(path, movies["one"])], IN_TIME.model_copy(update={"nuisance": ("running_speed",)}))
    refusal([(path, movies["one"]), (path, movies["three"])], "whole.nc: target 'm0-c0' has no repeat of sample 90")


def test_a_stimulus_that_a_recording_lacks_or_has_twice_is_refused(tmp_path: Path, movies: dict[str, Path]) -> None:
    path = mixed(0, {"one": 2, "three": 2})[0].write(tmp_path / "whole.nc")
    refusal([(path, movies["two"])], "whole.nc was recorded with stimulus 'one, three'", "two.zarr is of 'two'")
    again = [(path, movies[name]) for name in ("one", "three", "one")]
    refusal(again, "whole.nc is in the group twice with stimulus 'one'", "list each stimulus once")


def test_each_file_is_read_once_per_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {
        name: write_activations(tmp_path / f"{name}.zarr", features(N, i), items(N), name)
        for i, name in enumerate(("one", "two"))
    }
    runs = []
    for number, stimulus in enumerate(("one", "two", "one", "two")):
        session = Session(driven(2, 2, seed=number), items(N), ["c0", "c1"], stimulus=stimulus)
        runs.append((session.write(tmp_path / f"{number}.nc"), shown[stimulus]))
    read: list[Path] = []
    once = Activations.blocks
    monkeypatch.setattr(Activations, "blocks", lambda self, layer, n: (read.append(self.path), once(self, layer, n))[1])
    group = open_group(runs, OF_ITEMS)
    assert group.runs[0].alignment is group.runs[2].alignment
    both = np.concatenate([features(N), features(N, 1)]).astype("f4")
    np.testing.assert_array_equal(group.features("layer"), np.concatenate([both, both]))
    assert sorted(read) == sorted(shown.values())


def test_blanks_are_left_out(tmp_path: Path, scenes: Path) -> None:
    """They have no activations, and may lack responses."""
    session = animal(0)
    place = [0, 20, N]
    responses = np.insert(session.responses, place, 100.0, axis=1)
    responses[:, 0] = np.nan
    clock = np.insert(items(N).astype(object), place, ["blank"] * 3).astype(str)
    blank = ("sample", (clock == "blank").astype(np.int8))
    with_blanks = dataclasses.replace(session, responses=responses, clock=clock, variables={"blank": blank})
    plain = open_group([(session.write(tmp_path / "plain.nc"), scenes)], OF_ITEMS)
    group = open_group([(with_blanks.write(tmp_path / "blanks.nc"), scenes)], OF_ITEMS)
    np.testing.assert_array_equal(group.responses, plain.responses)
    assert group.samples.items().tolist() == items(N).tolist()
    only = dataclasses.replace(session, variables={"blank": ("sample", np.ones(N, np.int8))})
    refusal([(only.write(tmp_path / "only.nc"), scenes)], "only.nc holds nothing but blanks", "leave it out")


def test_without_member_targets_must_be_equal(tmp_path: Path, scenes: Path) -> None:
    sessions = [Session(driven(2), items(N), names) for names in (["c0", "c1"], ["c1", "c0"], ["c0", "c2"])]
    runs = [(session.write(tmp_path / f"{i}.nc"), scenes) for i, session in enumerate(sessions)]
    refusal(runs[:2], "1.nc has 2 targets", "0.nc 2", "the order differs")
    refusal([runs[0], runs[2]], "2.nc has 2 targets", "0.nc 2", "'c1' is in one only")


def test_sessions_without_a_common_cell_are_refused(tmp_path: Path, scenes: Path) -> None:
    stated = {"attrs": {"member": "field"}}
    sessions = [Session(driven(2), items(N), names, **stated) for names in (["c0", "c1"], ["c2", "c3"])]
    runs = [(session.write(tmp_path / f"{i}.nc"), scenes) for i, session in enumerate(sessions)]
    refusal(runs, "1.nc has none of the 2 targets", "'field'", "0.nc", "one name")
    elsewhere = Session(driven(2), items(N), ["c0", "c1"], region="VISl", **stated).write(tmp_path / "2.nc")
    refusal([runs[0], (elsewhere, scenes)], "target 'c0' has region 'VISl' in", "2.nc", "'VISp' in", "0.nc")


def test_members_that_did_not_see_the_same_are_refused(tmp_path: Path, scenes: Path) -> None:
    first, second = animal(0), animal(1)
    run = (first.write(tmp_path / "first.nc"), scenes)
    files = ("first.nc (member 'mouse-0')", "other.nc (member 'mouse-1')", "same stimuli in the same order")

    def other(**changes: object) -> tuple[Path, Path]:
        return dataclasses.replace(second, **changes).write(tmp_path / "other.nc"), scenes

    half = slice(0, 30)
    refusal([run, other(responses=second.responses[:, half], clock=items(30))], "has 30 samples", " 60", *files)
    refusal([run, other(clock=items(N)[::-1])], "has item 'scene-59'", "'scene-0'", *files)
    more = (second.write(tmp_path / "more.nc"), scenes)
    refusal([run, other(), more], "has 2 runs in all", " 1;", *files)
    movie = write_activations(tmp_path / "b.zarr", features(N), items(N), "others")
    renamed = (other(stimulus="others")[0], movie)
    refusal([run, renamed], "has stimulus 'others'", "'scenes'", *files)


def test_members_with_other_clocks_are_refused(tmp_path: Path) -> None:
    clock = 0.5 * np.arange(1, N + 1)
    movie = write_activations(tmp_path / "a.zarr", features(N), clock, "movie")
    runs = []
    for number, shift_s in enumerate((0.0, 0.001, 0.1)):
        session = dataclasses.replace(animal(number), clock=clock + shift_s, stimulus="movie")
        runs.append((session.write(tmp_path / f"{number}.nc"), movie))
    assert open_group(runs[:2], IN_TIME).n_subjects == 2  # a fiftieth of a bin apart
    refusal([runs[0], runs[2]], "time_s 0.6 s in sample 0", "0.5 s", "0.nc", "2.nc")


def test_members_with_equal_cell_names_or_other_attributes_are_refused(tmp_path: Path, scenes: Path) -> None:
    first, second = animal(0), animal(1)
    run = (first.write(tmp_path / "first.nc"), scenes)
    same = dataclasses.replace(second, cells=first.cells).write(tmp_path / "same.nc")
    refusal([run, (same, scenes)], "target 'm0-c0' is in", "same.nc", "first.nc", "different names")
    scored = dataclasses.replace(second, attrs={**second.attrs, "z_scored": 1}).write(tmp_path / "scored.nc")
    refusal([run, (scored, scenes)], "scored.nc has z_scored 1", "first.nc 0")
    more = dataclasses.replace(second, attrs={**second.attrs, "n_subjects": 5}).write(tmp_path / "more.nc")
    assert open_group([run, (more, scenes)], OF_ITEMS).n_subjects == 2
    hole = second.responses.copy()
    hole[:, 3, 1] = np.nan
    lacking = dataclasses.replace(second, responses=hole).write(tmp_path / "hole.nc")
    refusal([run, (lacking, scenes)], "hole.nc: target 'm1-c1' has no repeat of sample 3")


def test_coordinates_that_not_all_members_have_are_left_out(tmp_path: Path, scenes: Path) -> None:
    depth = {"depth_um": ("target", np.array([175.0, 250.0, 375.0])), "reliability": ("target", np.ones(3))}
    layers = {"compartment": ("target", np.array(["L4"] * 3, dtype=object))}
    sessions = [dataclasses.replace(animal(0), variables={**depth, **layers}), animal(1)]
    runs = [(session.write(tmp_path / f"{i}.nc"), scenes) for i, session in enumerate(sessions)]
    targets = open_group(runs, OF_ITEMS).targets
    assert "depth_um" not in targets and "reliability" not in targets
    assert targets["compartment"].tolist() == ["L4"] * 3 + [""] * 3
    assert open_group(runs[:1], OF_ITEMS).targets["depth_um"].tolist() == [175, 250, 375]
