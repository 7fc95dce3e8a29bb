"""The benchmark of conversion runs, at a small size: a row per layout and place, of recordings that were written."""

import sys

import pytest

from benchmarks import convert
from pipeline.artifacts.recording import open_recording
from pipeline.recordings.allen.two_photon.catalogue import nwb_path
from pipeline.recordings.allen.two_photon.options import Allen2pOptions

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("layout", convert.LAYOUTS)
def test_what_is_timed_is_a_conversion_of_what_is_read_bare(tmp_path, layout):
    convert.write_template(tmp_path / "template.nwb", n_cells=3, n_samples=60_000, layout=layout, seed=0)
    [name] = convert.write_experiments(tmp_path, tmp_path / "template.nwb", 1)
    _, n_bytes = convert.read_bare(tmp_path / nwb_path(name))
    assert n_bytes > 3 * 60_000 * 4
    assert (
        convert.convert(name, tmp_path, tmp_path / "it.nc", Allen2pOptions(stimuli=tuple(convert.MOVIES), signal="dff"))
        > 0
    )
    assert open_recording(tmp_path / "it.nc").sizes["target"] == 3


def test_a_row_for_each_layout_and_place(tmp_path, monkeypatch, capsys):
    sizes = ["--experiments", "2", "--cells", "3", "--samples", "60000", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["convert", *sizes])
    convert.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| co")]
    assert [row.split(",")[0] for row in rows] == ["| contiguous"] * 2 + ["| compressed"] * 2
    assert ["| memory |" in row for row in rows] == [True, False, True, False]
    assert list(tmp_path.iterdir()) == []
