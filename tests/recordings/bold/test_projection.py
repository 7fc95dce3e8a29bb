"""Projection of volumes is nilearn's, found once per grid."""

import nibabel
import numpy as np
from nilearn import datasets, surface

from pipeline.recordings.bold.parcellation.projection import projection_matrix
from tests.recordings.bold.conftest import MNI_AFFINE, MNI_SHAPE


def test_the_same_values_as_vol_to_surf(rng):
    volumes = rng.normal(size=(*MNI_SHAPE, 2)).astype(np.float32)
    matrix = projection_matrix(MNI_SHAPE, MNI_AFFINE)
    ours = matrix @ volumes.reshape(-1, 2, order="F")
    mesh = datasets.fetch_surf_fsaverage("fsaverage5")
    image = nibabel.Nifti1Image(volumes, MNI_AFFINE)
    theirs = np.concatenate(
        [surface.vol_to_surf(image, mesh[f"pial_{s}"], inner_mesh=mesh[f"white_{s}"]) for s in ("left", "right")]
    )
    assert ours.shape == theirs.shape == (20_484, 2)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_vertices_outside_of_the_image_have_no_weights():
    few = np.array([[3.0, 0, 0, -60], [0, 3.0, 0, -40], [0, 0, 3.0, 0], [0, 0, 0, 1]])
    matrix = projection_matrix((10, 10, 10), few)
    total = np.asarray(matrix.sum(axis=1)).ravel()
    assert 0 < (total > 0).sum() < 2000
    np.testing.assert_allclose(total[total > 0], 1)
