"""Images that are missing, damaged or of another kind are refused in one line that names the file."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from pipeline.core.errors import LayermapError
from pipeline.recordings.bold.images import count_volumes, read_gifti
from tests.recordings.bold.conftest import N_VERTICES, REMEDY, SPHERE, write_gifti, write_nifti, write_strips

STRIPS = ["Unknown", "A"]


@pytest.fixture
def surface(lab, rng):
    return lab.surfaces("a", rng.normal(size=(60, N_VERTICES)), rng.normal(size=(60, N_VERTICES)))


def refused(lab, scan, message, parcellation=None):
    atlas = {"kind": "labels", **write_strips(lab.folder, STRIPS)}
    with pytest.raises(LayermapError, match=message) as caught:
        lab.recording([scan], parcellation=parcellation or atlas)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "is missing; " + REMEDY),
        ("truncated", r"is no whole GIfTI file \(.*\); " + REMEDY),
        ("altered", r"is no whole GIfTI file \(.*\); " + REMEDY),
        ("page", r"is no GIfTI file \(it begins with '<html>"),
    ],
)
def test_damaged_surfaces(lab, surface, side, damage, message):
    path = surface.images[side]
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "page":
        path.write_text("<html><body>504 Gateway Timeout</body></html>")
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:50_000] + b"!" * 200 + content[50_200:])
    assert path.name in refused(lab, surface, message)


def test_surfaces_of_other_meshes_and_lengths(lab, rng, surface):
    write_gifti(surface.images[0], rng.normal(size=(60, 5000)))
    refused(lab, surface, r"hemi-L.* has 5000 vertices, expected 10242 of fsaverage5 or those of a finer fsaverage")
    write_gifti(surface.images[0], rng.normal(size=(58, N_VERTICES)))
    refused(lab, surface, r"hemi-L.* has 58 volumes and a_hemi-R.* 60")


def test_a_mesh_is_no_time_series(lab, surface):
    from nilearn import datasets

    mesh = datasets.fetch_surf_fsaverage("fsaverage5")["pial_left"]
    surface.images[0].write_bytes(gzip.decompress(Path(mesh).read_bytes()))
    with pytest.raises(LayermapError, match=r"hemi-L.* holds no time series"):
        read_gifti(surface.images[0], "fsaverage5", REMEDY)


def test_one_array_of_all_volumes_is_read_too(lab, rng):
    values = rng.normal(size=(N_VERTICES, 12)).astype(np.float32)
    array = nibabel.gifti.GiftiDataArray(values, intent="NIFTI_INTENT_TIME_SERIES", datatype="NIFTI_TYPE_FLOAT32")
    path = lab.folder / "one.func.gii"
    nibabel.save(nibabel.GiftiImage(darrays=[array]), path)
    assert count_volumes(path, REMEDY) == 12
    np.testing.assert_array_equal(read_gifti(path, "fsaverage5", REMEDY), values.T)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "is missing; " + REMEDY),
        ("truncated", r"is truncated or altered \(.*\); " + REMEDY),
        ("page", r"is no NIfTI image \(.*\); " + REMEDY),
        ("still", r"has shape \(5, 5, 3\), expected 4 dimensions"),
        ("pair", "expected one NIfTI, or a GIfTI of the left and one of the right hemisphere"),
    ],
)
def test_damaged_volumes(lab, rng, damage, message):
    scan = lab.volumes("v", rng.normal(size=(5, 5, 3, 60)), 2.0)
    path = scan.images[0]
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "page":
        path.write_text("<html>403 Forbidden</html>")
    elif damage == "still":
        write_nifti(path, rng.normal(size=(5, 5, 3)), 2.0)
    else:
        scan = type(scan)("v", (path, path), 0.0)
    assert path.name in refused(lab, scan, message, SPHERE)


def test_damaged_annotations(lab, surface):
    atlas = {"kind": "labels", **write_strips(lab.folder, STRIPS)}
    right = lab.folder / "right.annot"
    right.write_bytes(right.read_bytes()[:5000])
    with pytest.raises(LayermapError, match=r"right\.annot is no FreeSurfer annotation .*; " + REMEDY):
        lab.parts([surface], parcellation=atlas)
    with pytest.raises(LayermapError, match=r"atlases/lh\.aparc\.a2009s\.annot is missing; " + REMEDY):
        lab.parts([surface])
