"""Strategies take the columns of fmriprep's table under their new and old names."""

import numpy as np
import pytest

from pipeline.core.errors import BrokenArtifact
from pipeline.recordings.bold.confounds import ACOMPCOR, MOTION, read_strategy
from tests.recordings.bold.conftest import REMEDY

N = 30


@pytest.fixture(params=["new", "old"])
def table(request, tmp_path, rng):
    """Motion, components and a cosine; the values of the table's columns."""
    names = (*MOTION[request.param], *ACOMPCOR[request.param], "cosine00")
    values = np.round(rng.normal(size=(N, len(names))), 5)
    path = tmp_path / "confounds.tsv"
    rows = ["\t".join(names), *("\t".join(map(str, row)) for row in values.tolist())]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8-sig")
    return path, values


def test_strategies(table):
    path, values = table

    def read(strategy):
        return read_strategy(path, strategy, REMEDY, image=path)

    assert read("none") is None
    np.testing.assert_array_equal(read("motion6"), values[:, :6])
    np.testing.assert_array_equal(read("motion6+acompcor5"), values[:, :11])
    np.testing.assert_array_equal(read(("cosine00",)), values[:, 11:])
    many = read("motion24")
    step = np.diff(values[:, :6], axis=0)
    assert many.shape == (N, 24)
    np.testing.assert_allclose(many[1:], np.hstack([values[1:, :6], step, values[1:, :6] ** 2, step**2]))
    np.testing.assert_allclose(many[0, 6:12], step.mean(axis=0))


def test_missing_values_become_the_columns_mean(tmp_path):
    path = tmp_path / "confounds.tsv"
    path.write_text("a\tb\nn/a\t1\n2\t2\n4\tn/a\n")
    np.testing.assert_array_equal(read_strategy(path, ("a", "b"), REMEDY, image=path), [[3, 1], [2, 2], [4, 1.5]])


def test_marks_in_another_column_lose_no_volume(tmp_path):
    path = tmp_path / "confounds.tsv"
    path.write_text('a\tnote\n1\t"ok\n2\tok\n3\tok"\n4\t"\n')
    np.testing.assert_array_equal(read_strategy(path, ("a",), REMEDY, image=path), [[1], [2], [3], [4]])


def test_infinite_and_short_rows_are_refused_with_their_line(tmp_path):
    path = tmp_path / "confounds.tsv"
    for text, message in (
        ("a\tb\n1\t2\ninf\t3\n", "line 3: a is 'inf', expected a number"),
        ("a\tb\n1\t2\n3\n", "line 3 has 1 cells where the header has 2"),
    ):
        path.write_text(text)
        with pytest.raises(BrokenArtifact, match=message):
            read_strategy(path, ("a",), REMEDY, image=path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n1\n", r"confounds\.tsv lacks column 'trans_x' \(it has: a\); "),
        ("X\tY\n1\t2\n", r"lacks column 'Z'"),
        ("", r"lacks column 'trans_x' \(it has: \)"),
        (
            "trans_x\ttrans_y\ttrans_z\trot_x\trot_y\trot_z\n" + "\t".join(["n/a"] * 6) + "\n",
            "'trans_x' holds no number",
        ),
    ],
)
def test_tables_without_the_columns_are_refused(tmp_path, text, message):
    path = tmp_path / "confounds.tsv"
    path.write_text(text)
    with pytest.raises(BrokenArtifact, match=message):
        read_strategy(path, "motion6", REMEDY, image=path)
