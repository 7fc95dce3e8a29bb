"""Parcellations: the real annotation, label images, spheres, and where the files of atlases come from."""

import csv
import shutil

import nibabel
import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.core.errors import BrokenArtifact
from pipeline.recordings.bold.parcellation.atlases import atlas_files
from pipeline.recordings.bold.parcellation.parcels import (
    AUDITORY_TO_PREFRONTAL,
    surface_units,
    volume_units,
    volume_weights,
)
from tests.recordings.bold.conftest import AFFINE, N_VERTICES, REMEDY, SHAPE, Options, write_nifti


@pytest.fixture
def destrieux(lab, mirror):
    """The real annotations where a fetch puts them."""
    for file in atlas_files(Options()):
        (lab.folder / file.path).parent.mkdir(exist_ok=True)
        shutil.copyfile(mirror / file.url.removeprefix("https://"), lab.folder / file.path)
    return lab


@pytest.mark.mirror
def test_destrieux_files_are_pinned_as_published(mirror):
    with open(mirror / "SOURCES.tsv", encoding="utf-8", newline="") as stream:
        listed = {row["path"]: row for row in csv.DictReader(stream, delimiter="\t")}
    for file in atlas_files(Options()):
        row = listed[file.url.removeprefix("https://")]
        assert (file.bytes, file.sha256) == (int(row["bytes"]), row["sha256"])


@pytest.mark.mirror
def test_auditory_regions_lie_in_the_real_annotation(destrieux, rng):
    units = surface_units(Options().parcellation, destrieux.folder, "fsaverage5", REMEDY)
    regions = list(dict.fromkeys(units.region.tolist()))
    assert regions == list(AUDITORY_TO_PREFRONTAL)
    assert units.name.size == 2 * sum(len(parcels) for parcels in AUDITORY_TO_PREFRONTAL.values())
    heschl = units.xyz_mm[units.name == "lh-G_temp_sup-G_T_transv"][0]
    assert np.linalg.norm(heschl - [-46, -21, 8]) < 8  # Heschl's gyrus in MNI space, in mm
    # Region means by nibabel alone.
    left, right = (rng.normal(size=(60, N_VERTICES)).astype(np.float32) for _ in range(2))
    recording = destrieux.recording([destrieux.surfaces("a", left, right)], high_pass_s=0)
    for side, values in (("lh", left), ("rh", right)):
        labels, _, names = nibabel.freesurfer.read_annot(destrieux.folder / f"atlases/{side}.aparc.a2009s.annot")
        mean = values[:50][:, labels == names.index(b"S_temporal_sup")].mean(axis=1)
        got = recording["responses"].values[0, :, recording["unit"].values == f"{side}-S_temporal_sup"]
        np.testing.assert_allclose(got[0], (mean - mean.mean()) / mean.std(), atol=1e-4)


@pytest.mark.mirror
def test_all_parcels_leave_out_what_is_no_cortex(destrieux):
    every = Options(parcellation={"kind": "destrieux", "regions": "parcels"}).parcellation
    units = surface_units(every, destrieux.folder, "fsaverage5", REMEDY)
    assert units.name.size == 148 and not {"Unknown", "Medial_wall"} & set(units.parcel.tolist())
    single = Options(parcellation={"kind": "vertices", "atlas": {"kind": "destrieux", "regions": "parcels"}})
    vertices = surface_units(single.parcellation, destrieux.folder, "fsaverage5", REMEDY)
    assert vertices.name.size == 2 * N_VERTICES - 888 - 881
    assert (units.painted() != "").sum() == vertices.name.size


def test_spheres_are_the_voxels_within_their_radius(rng):
    options = Options(
        parcellation={
            "kind": "spheres",
            "coordinates": {"L": (-4.0, 0.0, 0.0), "R": (8.0, 8.0, 4.0)},
            "radius_mm": 4.0,
            "regions": {"both": ("R", "L")},
        }
    )
    units = volume_units(options.parcellation, AFFINE, REMEDY)
    assert units.name.tolist() == ["L", "R"] and units.region.tolist() == ["both", "both"]
    assert units.hemisphere.tolist() == ["left", "right"]
    from nilearn.maskers import NiftiSpheresMasker

    series = rng.normal(size=(*SHAPE, 6)).astype(np.float32)
    weights = volume_weights(options.parcellation, AFFINE, SHAPE, AFFINE, REMEDY)
    ours = weights @ series.reshape(-1, 6, order="F")
    masker = NiftiSpheresMasker([(-4.0, 0.0, 0.0), (8.0, 8.0, 4.0)], radius=4.0, standardize=False)
    theirs = masker.fit_transform(nibabel.Nifti1Image(series, AFFINE))
    np.testing.assert_allclose(ours, theirs.T, atol=1e-5)


def test_label_images_are_brought_to_the_grid_of_the_bold(lab, rng):
    labels = np.zeros(SHAPE, np.float32)
    labels[1, 1, 1], labels[3, 3, 1], labels[3, 3, 2] = 5, 7, 7
    fine = labels.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    half = np.diag([2.0, 2.0, 2.0, 1.0])
    half[:3, 3] = AFFINE[:3, 3] - 1
    write_nifti(lab.folder / "labels.nii.gz", fine, 0, half)
    (lab.folder / "labels.tsv").write_text("index\tname\n0\toutside\n5\tsmall\n7\t7Networks_RH_Vis_1\n")
    series = rng.normal(size=(*SHAPE, 60))
    image = {"image": str(lab.folder / "labels.nii.gz"), "names": str(lab.folder / "labels.tsv")}
    recording = lab.recording([lab.volumes("a", series, 2.0)], parcellation={"kind": "labels", **image}, high_pass_s=0)
    assert recording["unit"].values.tolist() == ["rh-7Networks_Vis_1", "small"]
    assert recording["hemisphere"].values.tolist() == ["right", ""]
    means = np.stack([series[3, 3, 1:, :50].mean(axis=0), series[1, 1, 1, :50]])
    means = (means - means.mean(axis=1, keepdims=True)) / means.std(axis=1, keepdims=True)
    np.testing.assert_allclose(recording["responses"].values[0], means.T, atol=1e-5)
    np.testing.assert_allclose(recording["x_mm"].values, [4.0, -4.0])
    unnamed = lab.recording([lab.volumes("a", series, 2.0)], parcellation={"kind": "labels", "image": image["image"]})
    assert unnamed["unit"].values.tolist() == ["label-5", "label-7"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('index\tname\n5\t"small\n7\tlarge"\n', None),
        ("index\tname\r5\tsmall\r7\tlarge\r", None),
        ("index\tname\n5\tV1\n7\tv 1\n", r"labels\.tsv lines 2 and 3: name 'V1' and 'v 1' differ only in case"),
        ("index\tname\n5\tV1\n7\tV1\u200b\n", r"labels\.tsv calls two labels 'V1'"),
        ("index\tname\n5\tV1\n5\tV2\n", r"labels\.tsv line 3: label 5 is both 'V1' and 'V2'"),
        ("index\tname\n5.5\tV1\n", r"labels\.tsv line 2: index is '5\.5', expected a whole number"),
        ("index\tname\n5\tV\x011\n", r"labels\.tsv line 2: name .* holds the control character U\+0001"),
    ],
)
def test_tables_of_labels(lab, rng, table, message):
    labels = np.zeros(SHAPE, np.float32)
    labels[1, 1, 1], labels[3, 3, 1] = 5, 7
    write_nifti(lab.folder / "labels.nii.gz", labels, 0)
    (lab.folder / "labels.tsv").write_bytes(table.encode())
    parcellation = {
        "kind": "labels",
        **{n: str(lab.folder / f"labels.{e}") for n, e in (("image", "nii.gz"), ("names", "tsv"))},
    }
    options = Options(parcellation=parcellation)
    if message is None:
        units = volume_units(options.parcellation, lab.folder, REMEDY)
        assert [name.strip('"') for name in units.name.tolist()] == ["small", "large"]
    else:
        with pytest.raises(BrokenArtifact, match=message):
            volume_units(options.parcellation, lab.folder, REMEDY)


def test_annotations_whose_names_look_alike_are_refused(lab):
    for names, message in ((["V1", "v1"], "parcel 'V1' and 'v1' differ only"), (["V1", "V\x071"], r"U\+0007")):
        colours = np.array([[1, 1, 1, 0], [2, 2, 2, 0]])
        paths = {side: str(lab.folder / f"{side}.annot") for side in ("left", "right")}
        for path in paths.values():
            nibabel.freesurfer.write_annot(path, np.arange(N_VERTICES) % 2, colours, names, fill_ctab=True)
        options = Options(parcellation={"kind": "labels", **paths})
        with pytest.raises(BrokenArtifact, match=message):
            surface_units(options.parcellation, lab.folder, "fsaverage5", REMEDY)


def test_spheres_and_regions_of_the_study_are_told_apart():
    place = (0.0, 0.0, 0.0)
    spheres = {"kind": "spheres", "coordinates": {"A1\u200b": place, "cafe\u0301": place}}
    assert list(Options(parcellation=spheres).parcellation.coordinates) == ["A1", "caf\u00e9"]
    for names, message in (
        (("A1", "A1\u200b"), "'A1' stands twice"),
        (("A1", "a1"), "names 'A1' and 'a1' differ only in case"),
        (("A1", "B\x00"), "holds the control character NUL"),
    ):
        with pytest.raises(ValidationError, match=message):
            Options(parcellation={"kind": "spheres", "coordinates": dict.fromkeys(names, place)})
        with pytest.raises(ValidationError, match=message):
            Options(parcellation={"kind": "glasser", "regions": dict.fromkeys(names, ("V1",))})


def test_schaefer_in_voxels_and_on_surfaces(lab, rng):
    parcellation = {"kind": "schaefer", "n_parcels": 100, "space": "volume"}
    image, table = atlas_files(Options(parcellation=parcellation))
    assert (
        "v0.14.3" in image.url and image.path == "atlases/Schaefer2018_100Parcels_7Networks_order_FSLMNI152_2mm.nii.gz"
    )
    (lab.folder / "atlases").mkdir()
    labels = np.zeros(SHAPE, np.float32)
    labels[0], labels[4] = 1, 2
    write_nifti(lab.folder / image.path, labels, 0)
    (lab.folder / table.path).write_text("1\t7Networks_LH_Vis_1\t1\t2\t3\t0\n2\t7Networks_RH_Vis_1\t1\t2\t4\t0\n")
    recording = lab.recording([lab.volumes("a", rng.normal(size=(*SHAPE, 60)), 2.0)], parcellation=parcellation)
    assert recording["unit"].values.tolist() == ["lh-7Networks_Vis_1", "rh-7Networks_Vis_1"]
    assert recording["region"].values.tolist() == ["7Networks_Vis_1"] * 2
    left, right = atlas_files(Options(parcellation={**parcellation, "space": "surface"}))
    assert left.path == "atlases/lh.Schaefer2018_100Parcels_7Networks_order.annot" and "fsaverage5" in right.url
    names = ["Background+FreeSurfer_Defined_Medial_Wall", "7Networks_LH_Vis_1"]
    for file in (left, right):
        nibabel.freesurfer.write_annot(
            str(lab.folder / file.path), np.arange(N_VERTICES) % 2, np.array([[0, 0, 0, 0], [1, 2, 3, 0]]), names, True
        )
    units = surface_units(
        Options(parcellation={**parcellation, "space": "surface"}).parcellation, lab.folder, "fsaverage5", REMEDY
    )
    assert units.name.tolist() == recording["unit"].values.tolist()


def test_glasser_is_cut_to_the_coarse_mesh(lab):
    options = Options(parcellation={"kind": "glasser"})
    left, right = atlas_files(options)
    assert (left.url[-7:], right.url[-7:]) == ("5528816", "5528819") and left.sha256 is None
    (lab.folder / "atlases").mkdir()
    for file, letter in ((left, "L"), (right, "R")):
        nibabel.freesurfer.write_annot(
            str(lab.folder / file.path),
            np.repeat([0, 1, 2], 163_842 // 3),
            np.array([[0, 0, 0, 0], [1, 2, 3, 0], [4, 5, 6, 0]]),
            ["???", f"{letter}_A1_ROI", f"{letter}_44_ROI"],
            True,
        )
    early = Options(parcellation={"kind": "glasser", "regions": {"core": ("A1",)}})
    assert surface_units(early.parcellation, lab.folder, "fsaverage", REMEDY).name.tolist() == ["lh-A1", "rh-A1"]
    assert surface_units(options.parcellation, lab.folder, "fsaverage5", REMEDY).name.size == 0


def test_own_files_and_spheres_are_not_fetched(lab):
    spheres = {"kind": "spheres", "coordinates": {"a": (0, 0, 0)}}
    write_nifti(lab.folder / "mine.nii.gz", np.ones(SHAPE), 0)
    mine = Options(parcellation={"kind": "labels", "image": str(lab.folder / "mine.nii.gz")})
    assert atlas_files(Options(parcellation=spheres)) == atlas_files(mine) == ()
    shown = mine.model_dump(mode="json")["parcellation"]["image"]
    assert shown.startswith("mine.nii.gz (sha256 ")
    write_nifti(lab.folder / "mine.nii.gz", np.zeros(SHAPE), 0)
    assert mine.model_dump(mode="json")["parcellation"]["image"] != shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parcellation": {"kind": "glasser", "regions": "auditory"}}, "parcels"),
        ({"parcellation": {"kind": "labels"}}, "give either 'image', or both 'left' and 'right'"),
        ({"parcellation": {"kind": "labels", "image": "no.nii"}}, "does not exist"),
        ({"parcellation": {"kind": "vertices", "atlas": {"kind": "schaefer", "space": "volume"}}}, "on a surface"),
        ({"parcellation": {"kind": "spheres", "coordinates": {}}}, "at least 1 item"),
        ({"trim_s": (-1, 0)}, "must be seconds, not below 0"),
        ({"slice_reference": 1.5}, "less than or equal to 1"),
        ({"confounds": ()}, "name each column once"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValidationError, match=message):
        Options(**options)
