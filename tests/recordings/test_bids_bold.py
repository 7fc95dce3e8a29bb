"""A BIDS run is read on the clock of its stimulus; what is missing or broken is said in one line."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from pipeline.core.errors import LayermapError
from pipeline.simulated.bids_reader import BoldRun, read_bold_run

TR = 1.5
N_VOLUMES = 40
AFFINE = np.array([[3.0, 0, 0, -10], [0, 3.0, 0, -20], [0, 0, 3.0, 5], [0, 0, 0, 1]])


class Run:
    """A small run on disk, whose voxel (x, y, z) holds 100·x + 10·y + z + volume/100."""

    def __init__(self, folder: Path) -> None:
        self.bold = folder / "sub-01_task-t_bold.nii.gz"
        self.sidecar = folder / "sub-01_task-t_bold.json"
        self.events = folder / "sub-01_task-t_events.tsv"
        self.labels = folder / "dseg.nii.gz"
        self.regions = folder / "dseg.tsv"
        self.confounds = folder / "confounds.tsv"
        x, y, z, volume = np.meshgrid(*(np.arange(n) for n in (4, 5, 3, N_VOLUMES)), indexing="ij")
        self.values = (100 * x + 10 * y + z + volume / 100).astype(np.float32)
        self.write_bold(self.values)
        labels = np.zeros((4, 5, 3), np.int16)
        labels[1, 1, 0], labels[3, 4, 2], labels[0, 2, 1] = 1, 1, 2
        nibabel.save(nibabel.Nifti1Image(labels, AFFINE), self.labels)
        self.regions.write_text("index\tname\n1\tA1\n2\tSTS\n")
        self.sidecar.write_text(json.dumps({"RepetitionTime": TR}))
        self.write_events(onset="3.0", duration="30")
        rows = ["trans_x\trot_z", "n/a\t1", *(f"{i}\t2" for i in range(1, N_VOLUMES))]
        self.confounds.write_text("\n".join(rows) + "\n")

    def write_bold(self, values: np.ndarray, tr: float = TR) -> None:
        image = nibabel.Nifti1Image(values, AFFINE)
        image.header.set_xyzt_units("mm", "sec")
        image.header.set_zooms((3, 3, 3, tr))
        nibabel.save(image, self.bold)

    def write_first_volume(self) -> None:
        nibabel.save(nibabel.Nifti1Image(self.values[..., 0], AFFINE), self.bold)

    def write_events(self, onset: str, duration: str) -> None:
        row = f"{onset}\t{duration}\tstory\ta.wav"
        self.events.write_text(f"onset\tduration\ttrial_type\tstim_file\n0\t2\tmusic\tm.wav\n{row}\n")

    def read(self, **options) -> BoldRun:
        return read_bold_run(self.bold, self.labels, self.regions, trial_type="story", **options)


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path)


def test_voxels_regions_and_places(run):
    read = run.read()
    assert read.region.tolist() == ["A1", "A1", "STS"]
    assert read.number_in_region.tolist() == [0, 1, 0]
    np.testing.assert_allclose(read.values[0], np.array([110, 342, 21]) + 0.02, atol=1e-3)
    image = nibabel.load(run.bold)
    np.testing.assert_allclose(read.xyz_mm[1], nibabel.affines.apply_affine(image.affine, [3, 4, 2]))


def test_volumes_before_and_after_the_stimulus_are_dropped(run):
    read = run.read()
    # The stimulus runs from 3 to 33 s of the scan: volumes 2 to 21 of 1.5 s.
    np.testing.assert_allclose(read.time_s, np.arange(1, 21) * TR)
    np.testing.assert_allclose(read.values[:, 0], run.values[1, 1, 0, 2:22])


@pytest.mark.parametrize(
    ("onset", "first", "time_s"), [("0", 0, 1.5), ("4.5", 3, 1.5), ("4.0", 3, 2.0), ("3.1", 3, 2.9)]
)
def test_onsets_between_volumes_keep_whole_volumes_on_the_stimulus_clock(run, onset, first, time_s):
    run.write_events(onset=onset, duration="n/a")
    read = run.read()
    assert read.time_s[0] == pytest.approx(time_s)
    assert read.values.shape[0] == N_VOLUMES - first
    np.testing.assert_allclose(read.values[0, 0], run.values[1, 1, 0, first])


def test_a_later_onset_of_a_later_scan_gives_the_same_aligned_run(run):
    before = run.read()
    run.write_bold(np.concatenate([np.zeros((4, 5, 3, 4), np.float32), run.values], axis=3))
    run.write_events(onset="9.0", duration="30")
    after = run.read()
    np.testing.assert_array_equal(before.values, after.values)
    np.testing.assert_allclose(before.time_s, after.time_s)


def test_scaled_integers_come_back_in_their_units(run):
    image = nibabel.Nifti1Image(run.values, AFFINE)
    image.set_data_dtype(np.int16)
    image.header.set_zooms((3, 3, 3, TR))
    nibabel.save(image, run.bold)
    np.testing.assert_allclose(run.read().values[:, 1], run.values[3, 4, 2, 2:22], atol=0.01)


def test_the_header_gives_the_tr_where_the_sidecar_does_not(run):
    run.sidecar.unlink()
    assert run.read().repetition_time_s == pytest.approx(TR)


def test_confounds_follow_the_kept_volumes(run):
    confounds = run.read(confounds_path=run.confounds, confound_columns=("rot_z", "trans_x")).confounds
    np.testing.assert_allclose(confounds[:, 1], np.arange(2, 22))
    assert (confounds[:, 0] == 2).all()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_label_shape(run: Run) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 4), np.int16), AFFINE), run.labels)


def moved_labels(run: Run) -> None:
    moved = AFFINE + np.eye(4, k=3) * 6
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 3), np.int16), moved), run.labels)


def no_tr(run: Run) -> None:
    run.sidecar.write_text("{}")
    run.write_bold(run.values, tr=0.0)


FAULTS: dict[str, tuple[Callable[[Run], object], str]] = {
    "missing image": (lambda run: run.bold.unlink(), "sub-01_task-t_bold.nii.gz is missing"),
    "truncated image": (lambda run: truncate(run.bold), "truncated or altered"),
    "a web page": (lambda run: run.bold.write_bytes(b"<html>not found</html>"), "no NIfTI image"),
    "a web page in gzip": (lambda run: run.bold.write_bytes(gzip.compress(b"<html>" * 100)), "no NIfTI image"),
    "not 4-D": (lambda run: run.write_first_volume(), "expected 4 dimensions"),
    "no events": (lambda run: run.events.unlink(), "events.tsv is missing"),
    "no onset column": (lambda run: run.events.write_text("start\tduration\ttrial_type\n"), "lacks column 'onset'"),
    "no such event": (lambda run: run.events.write_text("onset\tduration\ttrial_type\n0\t1\tmusic\n"), "'story'"),
    "no number": (
        lambda run: run.write_events(onset="soon", duration="30"),
        "line 3: onset is 'soon', expected a number",
    ),
    "event after the scan": (lambda run: run.write_events(onset="500", duration="30"), "none of which lies within"),
    "no TR": (no_tr, "states no TR"),
    "TR in ms": (lambda run: run.sidecar.write_text('{"RepetitionTime": 1500}'), "expected seconds from 0.05 to 60"),
    "two TRs": (lambda run: run.sidecar.write_text('{"RepetitionTime": 2.0}'), "TR of 2 s"),
    "broken sidecar": (lambda run: run.sidecar.write_text("{"), "is not JSON"),
    "labels of another shape": (other_label_shape, "(4, 5, 4)"),
    "labels elsewhere": (moved_labels, "other affines"),
    "a region without voxels": (lambda run: run.regions.write_text("index\tname\n7\tIFG\n"), "label 7"),
    "half a label": (lambda run: run.regions.write_text("index\tname\n1.5\tA1\n"), "index is '1.5', expected a whole"),
    "a label twice": (lambda run: run.regions.write_text("index\tname\n1\tA1\n1\tA2\n"), "label 1 is both 'A1' and"),
    "regions alike": (lambda run: run.regions.write_text("index\tname\n1\tSTS\n2\tsts\n"), "lines 2 and 3: name 'STS'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line_naming_the_file(run, fault):
    breaks, message = FAULTS[fault]
    breaks(run)
    with pytest.raises(LayermapError) as caught:
        run.read()
    assert message in str(caught.value)
    assert str(run.bold.parent) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_confounds_of_another_length_are_refused(run):
    run.confounds.write_text("trans_x\n1\n2\n")
    with pytest.raises(LayermapError, match="2 rows and"):
        run.read(confounds_path=run.confounds, confound_columns=("trans_x",))
