"""Scans of listeners become one recording: targets, regions, mean listener, cleaning, and what it says of itself."""

import json

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.recording import open_recording, write_recording
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import BrokenArtifact, LayermapError, SampleMismatch
from pipeline.recordings.bold.clean import clean_responses
from pipeline.recordings.bold.tables import read_repetition_time
from tests.recordings.bold.conftest import MNI_AFFINE, MNI_SHAPE, N_VERTICES, SPHERE, write_nifti, write_strips

pytestmark = pytest.mark.slow

T = 60
STRIPS = ["Unknown", "A", "B", "C"]


@pytest.fixture
def strips(lab):
    return {"kind": "labels", **write_strips(lab.folder, STRIPS)}


def noise(rng, n_vertices=N_VERTICES, n_volumes=T):
    return (1000 + rng.normal(size=(n_volumes, n_vertices))).astype(np.float32)


def courses(recording, subject):
    return recording["responses"].values[0][:, recording["subject"].values == subject]


def test_means_over_parcels_and_their_names(lab, rng, strips):
    left, right = noise(rng), noise(rng)
    recording = lab.recording([lab.surfaces("a", left, right)], parcellation=strips, high_pass_s=0)
    assert recording["target"].values.tolist() == [f"a-{h}-{name}" for h in ("lh", "rh") for name in "ABC"]
    assert recording["unit"].values.tolist() == [f"{h}-{name}" for h in ("lh", "rh") for name in "ABC"]
    assert recording["region"].values.tolist() == list("ABCABC")
    assert recording["hemisphere"].values.tolist() == ["left"] * 3 + ["right"] * 3
    assert recording["compartment"].values.tolist() == recording["hemisphere"].values.tolist()
    assert recording["vertex"].values.tolist() == [-1] * 6
    assert (recording["x_mm"].values[:3] < 0).all() and (recording["x_mm"].values[3:] > 0).all()
    expected = [
        values[:50, number::4].mean(axis=1, dtype=np.float64) for values in (left, right) for number in (1, 2, 3)
    ]
    expected = clean_responses(np.stack(expected, axis=1), sample_interval_s=2.0, high_pass_s=0)
    np.testing.assert_allclose(recording["responses"].values[0], expected, atol=1e-3)
    painted = recording["surface_unit"].values
    assert painted[:5].tolist() == ["", "lh-A", "lh-B", "lh-C", ""] and painted[N_VERTICES + 3] == "rh-C"
    assert painted.size == 2 * N_VERTICES and recording.attrs["surface_mesh"] == "fsaverage5"


def test_regions_group_parcels_and_leave_the_others_out(lab, rng, strips):
    scan = lab.surfaces("a", noise(rng), noise(rng))
    recording = lab.recording([scan], parcellation={**strips, "regions": {"late": ("C",), "early": ("A",)}})
    assert recording["unit"].values.tolist() == ["lh-C", "lh-A", "rh-C", "rh-A"]
    assert recording["region"].values.tolist() == ["late", "early", "late", "early"]


def test_vertices_are_targets_with_their_own_courses(lab, rng, strips):
    left, right = noise(rng), noise(rng)
    scan = lab.surfaces("a", left, right)
    vertices = {"kind": "vertices", "atlas": {**strips, "regions": {"only": ("B",)}}}
    recording = lab.recording([scan], parcellation=vertices, high_pass_s=40)
    n = len(range(2, N_VERTICES, 4))
    assert recording.sizes["target"] == 2 * n
    assert recording["vertex"].values.tolist() == 2 * list(range(2, N_VERTICES, 4))
    assert recording["unit"].values[[0, n]].tolist() == ["lh-v00002", "rh-v00002"]
    chosen = np.concatenate([left[:50, 2::4], right[:50, 2::4]], axis=1)
    expected = clean_responses(chosen, sample_interval_s=2.0, high_pass_s=40)
    np.testing.assert_allclose(recording["responses"].values[0], expected, atol=1e-6)


def test_a_finer_mesh_begins_with_the_coarser_ones_vertices(lab, rng, strips):
    left, right = noise(rng, 40_962, 21), noise(rng, 40_962, 21)
    fine = lab.surfaces("a", left, right)
    coarse = lab.surfaces("b", left[:, :N_VERTICES], right[:, :N_VERTICES])
    recording = lab.recording([fine, coarse], (0, 40), parcellation=strips, average=False)
    np.testing.assert_array_equal(courses(recording, "a"), courses(recording, "b"))
    with pytest.raises(SampleMismatch, match=r"left\.annot has 10242 vertices and fsaverage6 40962"):
        lab.parts([fine], (0, 40), parcellation=strips, mesh="fsaverage6")
    annotations = {"kind": "labels", **write_strips(lab.folder, STRIPS, 40_962)}
    vertices = {"kind": "vertices", "atlas": annotations}
    recording = lab.recording([fine], (0, 40), parcellation=vertices, mesh="fsaverage6", high_pass_s=0)
    assert recording["vertex"].values.max() == 40_961
    picked = recording["responses"].values[0, :, recording["vertex"].values == 40_961]
    expected = np.stack([values[:20, 40_961] for values in (left, right)])
    np.testing.assert_allclose(picked, clean_responses(expected.T, sample_interval_s=2, high_pass_s=0).T, atol=1e-5)
    assert recording["surface_unit"].values[N_VERTICES - 1] == "lh-v10241"


def test_volumes_and_surfaces_of_the_same_data_agree(lab, rng, strips):
    from nilearn import datasets, surface

    series = np.add.outer(rng.normal(size=MNI_SHAPE), rng.normal(size=12)).astype(np.float32)
    series += rng.normal(size=series.shape).astype(np.float32)
    path = write_nifti(lab.folder / "v_bold.nii.gz", series, 2.0, MNI_AFFINE)
    mesh = datasets.fetch_surf_fsaverage("fsaverage5")
    left, right = (
        surface.vol_to_surf(str(path), mesh[f"pial_{s}"], inner_mesh=mesh[f"white_{s}"]).T for s in ("left", "right")
    )
    scan = lab.surfaces("a", left, right)
    volume = type(scan)("v", (path,), 0.0)
    recording = lab.recording([scan, volume], (0, 24), parcellation=strips, high_pass_s=0, average=False)
    np.testing.assert_allclose(courses(recording, "v"), courses(recording, "a"), atol=5e-3)
    assert recording.attrs["clocks"] == "all 2 listeners have one clock"


def test_mean_listener_is_the_average_of_those_who_vary(lab, rng, strips):
    scans = [lab.surfaces(name, noise(rng), noise(rng)) for name in "ab"]
    flat = np.full((T, N_VERTICES), 3, np.float32)
    scans.append(lab.surfaces("flat", flat, noise(rng)))
    parts = lab.parts(scans, parcellation=strips)
    recording = parts.whole()
    mean = np.stack([courses(recording, one) for one in ("a", "b", "flat")]).sum(axis=0)
    np.testing.assert_allclose(courses(recording, "mean"), (mean / mean.std(axis=0)), atol=1e-5)
    assert not courses(recording, "flat")[:, :3].any() and courses(recording, "flat")[:, 3:].any()
    assert recording.attrs["constant_targets"] == "flat-lh-A, flat-lh-B, flat-lh-C"
    assert recording.attrs["n_subjects"] == 3
    assert lab.recording(scans[:1], parcellation=strips)["subject"].values.tolist() == ["a"] * 6


def test_places_without_numbers_do_not_count(lab, rng, strips):
    left, right = noise(rng), noise(rng)
    holes = left.copy()
    holes[:, 1 : N_VERTICES // 3 : 4] = np.nan
    holes[3, 3 : 3 * N_VERTICES // 4 : 4] = np.inf
    recording = lab.recording([lab.surfaces("a", holes, right)], parcellation=strips, high_pass_s=0)
    first = len(range(1, N_VERTICES // 3, 4))
    expected = clean_responses(
        left[:50, 1::4][:, first:].mean(axis=1, dtype=np.float64)[:, None], sample_interval_s=2, high_pass_s=0
    )
    np.testing.assert_allclose(recording["responses"].values[0, :, :1], expected, atol=1e-3)
    assert recording.attrs["constant_targets"] == "a-lh-C"
    vertices = {"kind": "vertices", "atlas": {**strips, "regions": {"r": ("A",)}}}
    recording = lab.recording([lab.surfaces("a", holes, right)], parcellation=vertices)
    named = recording.attrs["constant_targets"]
    assert named.startswith("a-lh-v00001, a-lh-v00005, ") and named.endswith(f" and {first - 100} more")


def test_volumes_outside_of_the_brain_are_nan(lab, rng):
    series = rng.normal(size=(5, 5, 3, T))
    series[2, 2, 1] = np.nan
    near = [(2, 2, 1), (1, 2, 1), (3, 2, 1), (2, 1, 1), (2, 3, 1), (2, 2, 0), (2, 2, 2)]
    recording = lab.recording([lab.volumes("a", series, 2.0)], parcellation=SPHERE, high_pass_s=0)
    expected = np.stack([series[at][:50] for at in near[1:]]).mean(axis=0)[:, None]
    expected = clean_responses(expected, sample_interval_s=2, high_pass_s=0)
    np.testing.assert_allclose(recording["responses"].values[0], expected, atol=1e-5)
    assert recording["hemisphere"].values.tolist() == [""] and "surface_unit" not in recording.variables


def test_filter_and_confounds_leave_together(lab, rng):
    table = lab.folder / "confounds.tsv"
    columns = rng.normal(size=(T, 2))
    rows = ["x\ty", *("\t".join(f"{value:.6f}" for value in row) for row in columns)]
    table.write_text("\n".join(rows) + "\n")
    course = 100 + 5 * columns[:, 0] + rng.normal(size=T)
    scan = lab.volumes("a", course, 2.0, 4.0, confounds=table)
    recording = lab.recording(
        [scan], (0, 90), parcellation=SPHERE, high_pass_s=40, confounds=("x", "y"), trim_s=(10, 6)
    )
    kept = slice(7, 44)
    assert recording["time_s"].values[[0, -1]].tolist() == [12.0, 84.0]
    expected = clean_responses(
        course[kept, None].astype(np.float32),
        sample_interval_s=2.0,
        high_pass_s=40,
        confounds=np.round(columns, 6)[kept],
    )
    np.testing.assert_allclose(recording["responses"].values[0], expected, atol=1e-4)
    assert recording.attrs["confounds"] == "x, y" and recording.attrs["high_pass_s"] == 40


def test_it_says_what_was_done_and_is_accepted_as_a_recording(lab, rng, strips, tmp_path):
    scans = [lab.surfaces(name, noise(rng), noise(rng), start) for name, start in (("a", 0), ("b", 0), ("c", 0.7))]
    attrs = standard_attrs("recording", "test", "c", "i")
    write_recording(lab.parts(scans, parcellation=strips).with_attrs(attrs), tmp_path / "streamed.nc")
    write_recording(lab.parts(scans, parcellation=strips).with_attrs(attrs).whole(), tmp_path / "whole.nc")
    streamed = open_recording(tmp_path / "streamed.nc")
    xr.testing.assert_identical(streamed, open_recording(tmp_path / "whole.nc"))
    said = {name: streamed.attrs[name] for name in ("units", "sample_kind", "sample_interval_s", "z_scored")}
    assert said == {"units": "z-scored BOLD", "sample_kind": "time", "sample_interval_s": 2.0, "z_scored": 1}
    assert streamed.attrs["slice_reference"] == "a volume stands for the instant 0.5 TR after its start"
    assert streamed.attrs["clocks"].startswith("1 of 3 listeners were brought to the clock of the others")
    assert "member" not in streamed.attrs and streamed.attrs["n_subjects"] == 3
    assert (streamed["run"].values == "group-story").all() and (streamed["stimulus"].values == "story").all()
    np.testing.assert_allclose(streamed["responses"].values.std(axis=1), 1, atol=1e-5)


def test_repetition_time_of_surfaces_comes_from_their_sidecar(lab, rng, strips):
    scan = lab.surfaces("a", noise(rng), noise(rng), repetition_time_s=None)
    with pytest.raises(BrokenArtifact, match=r"states no TR .* add it to the JSON"):
        lab.parts([scan], parcellation=strips)
    (lab.folder / "a_hemi-L_bold.json").write_text(json.dumps({"RepetitionTime": 2.5}))
    assert lab.parts([scan], parcellation=strips).header.attrs["sample_interval_s"] == 2.5


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("2500", r"a_hemi-L_bold\.json: RepetitionTime is 2500, expected seconds from 0\.05 to 60 \(as ms .* 2\.5 s\)"),
        ("0.002", r"a_hemi-L_bold\.json: RepetitionTime is 0\.002, expected seconds from 0\.05 to 60; correct it"),
        ("-2", r"RepetitionTime is -2, expected seconds above 0"),
        ("true", r"RepetitionTime is True, expected seconds above 0"),
        ("NaN", r"RepetitionTime is nan, expected seconds above 0"),
        ('"2"', r"RepetitionTime is '2', expected seconds above 0"),
    ],
)
def test_a_repetition_time_in_another_unit_blames_the_sidecar(lab, rng, strips, stated, message):
    scan = lab.surfaces("a", noise(rng), noise(rng), repetition_time_s=None)
    (lab.folder / "a_hemi-L_bold.json").write_text(f'{{"RepetitionTime": {stated}}}')
    with pytest.raises(BrokenArtifact, match=message):
        lab.parts([scan], parcellation=strips)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("twice", "a has more than one scan of story; leave all but one out"),
        ("nobody", "no scan is left"),
        ("voxels_of_a_surface", r"a_hemi-L_bold\.func\.gii is a surface and parcellation 'spheres' is made of voxels"),
        ("volume_on_fsaverage6", r"v_bold\.nii\.gz is a volume, .* set mesh: fsaverage5"),
        ("unknown_parcel", r"unknown parcel of labels 'Heschl' .*correct region 'r'"),
        ("two_regions", "parcel 'A' lies in the regions 'r' and 's'"),
        ("few_confounds", r"confounds\.tsv has 2 rows and .*v_bold\.nii\.gz 60 volumes"),
        ("no_confounds", r"v_bold\.nii\.gz comes without a table of confounds, and 'motion6' asks for one"),
        ("too_many_confounds", r"v_bold\.nii\.gz: 50 samples are no more than the 50 regressors"),
        ("short", r"s_bold\.nii\.gz covers 60\.0 s of the 100\.0 s .* exclude: \[s\]"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(lab, rng, strips, how, message):
    volume = lab.volumes("v", rng.normal(size=T), 2.0)
    table = lab.folder / "confounds.tsv"
    table.write_text("x\n1\n2\n")
    wide = lab.folder / "wide.tsv"
    names = [f"c{number}" for number in range(55)]
    rows = ["\t".join(names), *("\t".join(f"{value:.5f}" for value in row) for row in rng.normal(size=(T, 55)))]
    wide.write_text("\n".join(rows) + "\n")
    with_table = {"twice": volume, "few_confounds": type(volume)("v", volume.images, 0.0, confounds=table)}
    cases = {
        "twice": lambda: ([type(volume)("a", volume.images, 0.0)] * 2, {"parcellation": SPHERE}),
        "nobody": lambda: ([], {"parcellation": SPHERE}),
        "voxels_of_a_surface": lambda: ([lab.surfaces("a", noise(rng), noise(rng))], {"parcellation": SPHERE}),
        "volume_on_fsaverage6": lambda: (
            [volume],
            {
                "parcellation": {"kind": "labels", **write_strips(lab.folder, STRIPS, 40_962)},
                "mesh": "fsaverage6",
            },
        ),
        "unknown_parcel": lambda: ([volume], {"parcellation": {**strips, "regions": {"r": ("Heschl",)}}}),
        "two_regions": lambda: ([volume], {"parcellation": {**strips, "regions": {"r": ("A",), "s": ("A",)}}}),
        "few_confounds": lambda: ([with_table["few_confounds"]], {"parcellation": SPHERE, "confounds": ("x",)}),
        "no_confounds": lambda: ([volume], {"parcellation": SPHERE, "confounds": "motion6"}),
        "too_many_confounds": lambda: (
            [type(volume)("v", volume.images, 0.0, confounds=wide)],
            {"parcellation": SPHERE, "confounds": tuple(names)},
        ),
        "short": lambda: ([volume, lab.volumes("s", rng.normal(size=30), 2.0)], {"parcellation": SPHERE}),
    }
    scans, options = cases[how]()
    with pytest.raises(LayermapError, match=message) as caught:
        lab.recording(scans, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"RepetitionTime": NaN}', "RepetitionTime is nan"),
        ('{"RepetitionTime": Infinity}', "RepetitionTime is inf"),
        ('{"RepetitionTime": true}', "RepetitionTime is True"),
        ('{"RepetitionTime": "2"}', "RepetitionTime is '2'"),
        ('{"RepetitionTime": 2.0,\n "RepetitionTime": 3.0}', "line 2, has the key 'RepetitionTime' twice"),
        ("[2.0]", "expected a JSON object"),
        ("[" * 5000, "levels deep"),
    ],
)
def test_a_sidecar_that_states_no_time(tmp_path, text, message):
    sidecar = tmp_path / "a_bold.json"
    sidecar.write_text(text)
    with pytest.raises(BrokenArtifact, match=message) as caught:
        read_repetition_time(tmp_path / "a_bold.nii.gz", 0.0, "mend it")
    assert "a_bold.json" in str(caught.value) and "\n" not in str(caught.value)


def test_nan_elsewhere_in_a_sidecar_is_not_asked_for(tmp_path):
    (tmp_path / "a_bold.json").write_text('{"RepetitionTime": 2.5, "EchoTime": NaN}')
    assert read_repetition_time(tmp_path / "a_bold.nii.gz", 0.0, "mend it") == 2.5
