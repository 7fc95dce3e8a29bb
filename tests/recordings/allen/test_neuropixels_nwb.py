"""Neuropixels files in the released layout: what is read from them, and what allensdk itself reads."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import BrokenArtifact, SampleMismatch
from pipeline.recordings.allen.neuropixels.nwb import NeuropixelsFile, whole_passes
from pipeline.recordings.allen.options import mouse_of
from pipeline.recordings.allen.sdk import ecephys_session_class
from tests.observatory.example_neuropixels import CORTEX_UM, MOVIE_STARTS_S, N_FRAMES, N_SCENES, example_session
from tests.observatory.files_neuropixels import InvalidTime, SessionDesign, movie_rows, write_session
from tests.observatory.rows_neuropixels import rows_of_designs

pytestmark = pytest.mark.slow

SESSION = 715093703
PROBE_A = 10 * SESSION
STIMULUS_S = (12.5, 12.6)
"""Within the second pass through movie one."""


def channels_of(design: SessionDesign) -> pd.DataFrame:
    return pd.DataFrame(rows_of_designs([design])["EcephysChannel"]).set_index("id").iloc[:, 4:]


def opened(path: Path, design: SessionDesign) -> NeuropixelsFile:
    return NeuropixelsFile(path, channels_of(design), "fetch it again")


@pytest.fixture(scope="module")
def design() -> SessionDesign:
    return example_session(
        invalid_times=(
            InvalidTime(*STIMULUS_S, "EcephysSession", SESSION, "stimulus"),
            InvalidTime(26.0, 27.0, "EcephysProbe", PROBE_A, "probeA"),
            InvalidTime(63.0, 63.1, "EcephysSession", SESSION, "all_probes"),
        )
    )


@pytest.fixture(scope="module")
def path(design: SessionDesign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("session") / f"session_{SESSION}.nwb"
    write_session(written, design)
    return written


def test_equal_designs_are_written_as_equal_bytes(design: SessionDesign, path: Path, tmp_path: Path) -> None:
    write_session(tmp_path / "again.nwb", design)
    assert (tmp_path / "again.nwb").read_bytes() == path.read_bytes()


def test_units_and_spikes_are_those_of_allensdk(design: SessionDesign, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = ecephys_session_class().from_nwb_path(str(path))
        expected, spike_times_s = session.units, session.spike_times
    with opened(path, design) as file:
        units = file.units()
        mine = file.spike_times(expected.index.tolist())
    good = units[
        (units["quality"] == "good")
        & (units["amplitude_cutoff"] <= 0.1)
        & (units["presence_ratio"] >= 0.95)
        & (units["isi_violations"] <= 0.5)
        & units["ecephys_structure_acronym"].notna()
    ]
    assert set(good.index) == set(expected.index) == {100 * SESSION + number for number in range(7)}
    columns = ["firing_rate", "presence_ratio", "peak_channel_id", "probe_description", "probe_vertical_position"]
    pd.testing.assert_frame_equal(good.sort_index()[columns], expected.sort_index()[columns])
    assert (
        good.sort_index()["ecephys_structure_acronym"].tolist() == expected.sort_index()["structure_acronym"].tolist()
    )
    for unit, times_s in zip(expected.index, mine, strict=True):
        np.testing.assert_array_equal(times_s, spike_times_s[unit])


def test_positions_come_from_the_warehouse_as_the_files_have_one_of_them_twice(
    design: SessionDesign, path: Path
) -> None:
    with h5py.File(path) as file:
        electrodes = file["general/extracellular_ephys/electrodes"]
        np.testing.assert_array_equal(electrodes["y"][:], electrodes["z"][:])
    with opened(path, design) as file:
        units = file.units()
    np.testing.assert_array_equal(units["left_right_ccf_coordinate"].dropna(), CORTEX_UM[2] + 7)


def test_depth_is_measured_from_where_the_probe_leaves_the_brain(design: SessionDesign, path: Path) -> None:
    with opened(path, design) as file:
        units = file.units()
    depth_um = units["depth_um"][[100 * SESSION + number for number in (0, 2, 4)]]
    assert depth_um.tolist() == [20.0, 0.0, 220.0]
    assert units.loc[units["probe_description"] == "probeB", "depth_um"].isna().all()


def test_repeats_of_a_movie_lie_in_several_blocks(tmp_path: Path) -> None:
    design = example_session()
    write_session(tmp_path / "session.nwb", design)
    with opened(tmp_path / "session.nwb", design) as file:
        shown = file.presentations("natural_movie_one", 15, 0)
    assert (shown.n_repeats, shown.n_samples) == (4, N_FRAMES // 15)
    for repeat, (_, start_s) in enumerate(MOVIE_STARTS_S):
        first = shown.onset_s[(shown.repeat == repeat) & (shown.sample == 2)]
        np.testing.assert_allclose(first, start_s + np.arange(30, 45) / 30)


def test_a_pass_with_an_invalid_frame_is_left_out(design: SessionDesign, path: Path) -> None:
    with opened(path, design) as file:
        shown = file.presentations("natural_movie_one", 15, 0)
    assert shown.n_repeats == 3
    assert not ((shown.onset_s >= 11.999) & (shown.onset_s < 14)).any()
    np.testing.assert_allclose(np.unique(shown.onset_s[shown.repeat == 1])[0], MOVIE_STARTS_S[2][1])


def test_scenes_have_a_blank_and_their_own_repeats(design: SessionDesign, path: Path) -> None:
    table = design.presentations
    table = table[table["stimulus_name"] == "natural_scenes"].sort_values("start_time")
    with opened(path, design) as file:
        shown = file.presentations("natural_scenes", 15, N_SCENES)
    assert shown.item is not None and shown.condition is not None
    assert shown.item.tolist() == [*(f"scene-{number:03d}" for number in range(N_SCENES)), "blank"]
    for sample, condition in enumerate(shown.condition):
        np.testing.assert_allclose(
            shown.onset_s[shown.sample == sample], table["start_time"][table["frame"] == condition]
        )


def test_gratings_are_read_from_numbers_and_text(design: SessionDesign, path: Path) -> None:
    with opened(path, design) as file:
        static = file.presentations("static_gratings", 15, 0)
        drifting = file.presentations("drifting_gratings", 15, 0)
    assert static.item is not None and static.item.tolist()[:2] == ["ori0-sf0.04-phase0", "ori0-sf0.04-phase0.25"]
    assert static.item.tolist()[-1] == "blank" and static.n_samples == 7 and static.n_repeats == 3
    assert (drifting.n_samples, drifting.n_repeats) == (8, 3)


def test_movie_one_of_functional_connectivity_has_another_name(tmp_path: Path) -> None:
    rows = pd.DataFrame(movie_rows("natural_movie_one_more_repeats", 30, [(1, 10.0), (1, 11.0), (2, 40.0)]))
    design = example_session(presentations=rows, session_type="functional_connectivity")
    write_session(tmp_path / "session.nwb", design)
    with opened(tmp_path / "session.nwb", design) as file:
        assert file.presentations("natural_movie_one", 15, 0).n_repeats == 3
        with pytest.raises(SampleMismatch, match=r"natural_scenes was not shown .*natural_movie_one_more_repeats"):
            file.presentations("natural_scenes", 15, N_SCENES)


def test_behaviour(design: SessionDesign, path: Path, tmp_path: Path) -> None:
    assert design.pupil is not None
    with opened(path, design) as file:
        pupil, running = file.pupil_area(), file.running_speed()
        assert (file.mouse(), file.session_type()) == ("mouse-93703", "brain_observatory_1.1")
    times_s, half_width_px, half_height_px = design.pupil
    assert pupil is not None
    np.testing.assert_allclose(pupil[0], times_s)
    np.testing.assert_allclose(pupil[1], np.pi * half_width_px * half_height_px)
    np.testing.assert_allclose(running[1], design.running[1])
    np.testing.assert_allclose(running[0], (design.running[0][1:] + design.running[0][:-1]) / 2)
    blind = example_session(pupil=None)
    write_session(tmp_path / "blind.nwb", blind)
    with opened(tmp_path / "blind.nwb", blind) as file:
        assert file.pupil_area() is None
        assert all(stretches.size == 0 for stretches in file.invalid_spikes().values())


def test_stretches_without_valid_spikes_belong_to_their_probes(design: SessionDesign, path: Path) -> None:
    with opened(path, design) as file:
        invalid_s = file.invalid_spikes()
    assert invalid_s["probeA"].tolist() == [[26.0, 27.0], [63.0, 63.1]]
    assert invalid_s["probeB"].tolist() == [[63.0, 63.1]]


def test_a_truncated_file_is_one_line(design: SessionDesign, path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for kept in (0, 100, len(whole) // 2, len(whole) - 10):
        broken = tmp_path / f"cut-{kept}.nwb"
        broken.write_bytes(whole[:kept])
        with pytest.raises(BrokenArtifact) as caught, opened(broken, design) as file:
            file.units()
        assert str(caught.value).startswith(f"{broken} cannot be read as a Neuropixels NWB file")
        assert str(caught.value).endswith("fetch it again") and "\n" not in str(caught.value)


def test_a_missing_file_and_a_missing_part_are_one_line(design: SessionDesign, path: Path, tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match="is missing; fetch it again"), opened(tmp_path / "none.nwb", design):
        pass
    poorer = tmp_path / "poorer.nwb"
    poorer.write_bytes(path.read_bytes())
    with h5py.File(poorer, "r+") as file:
        del file["processing/running"]
        del file["units/quality"]
        file["units"].attrs["colnames"] = [name for name in file["units"].attrs["colnames"] if name != "quality"]
        del file["intervals/natural_scenes_presentations/frame"]
        names = [name for name in file["intervals/natural_scenes_presentations"].attrs["colnames"] if name != "frame"]
        file["intervals/natural_scenes_presentations"].attrs["colnames"] = names
    with opened(poorer, design) as opened_file:
        for read, missing in ((opened_file.running_speed, "running"), (opened_file.units, "quality")):
            with pytest.raises(
                BrokenArtifact, match=f"cannot be read as a Neuropixels NWB file .KeyError: .*{missing}"
            ):
                read()
        with pytest.raises(SampleMismatch, match="frame 'null' of natural_scenes is no number"):
            opened_file.presentations("natural_scenes", 15, N_SCENES)


@pytest.mark.parametrize("seed", range(5))
def test_whole_passes_survive_whatever_is_cut_from_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_frames, n_passes = 12, 6
    frame, block = np.tile(np.arange(n_frames), n_passes), np.repeat([1.0, 1, 1, 4, 4, 4], n_frames)
    own = np.repeat(np.arange(n_passes), n_frames)
    cut = rng.choice(n_passes, 2, replace=False)
    kept = ~(np.isin(own, cut) & (rng.random(frame.size) < 0.3))
    kept[[n_frames * number + rng.integers(n_frames) for number in cut]] = False
    whole, repeat = whole_passes(frame[kept], block[kept])
    intact = [number for number in range(n_passes) if number not in cut]
    np.testing.assert_array_equal(whole, np.isin(own[kept], intact))
    np.testing.assert_array_equal(repeat[whole], np.searchsorted(intact, own[kept][whole]))


def test_a_pass_that_two_blocks_share_is_not_whole() -> None:
    frame = np.array([0, 1, 2, 0, 1, 2])
    whole, _ = whole_passes(frame, np.array([1.0, 1, 2, 2, 2, 2]))
    assert whole.tolist() == [False, False, False, True, True, True]


def test_mice_are_named_by_their_number() -> None:
    assert mouse_of("Sst-IRES-Cre;Ai32-387858") == "mouse-387858"
    assert mouse_of("Sst-IRES-Cre") == "Sst-IRES-Cre"
