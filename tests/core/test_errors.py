"""What code of the user's own raises is one line, whatever it is."""

import pytest

from pipeline.core.errors import BadConfiguration, LayermapError, in_one_line


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (ValueError("no such\nlayer"), "network net.py:build failed (ValueError: no such)"),
        (SystemExit(3), "network net.py:build failed (SystemExit: 3)"),
        (RuntimeError(), "network net.py:build failed (RuntimeError: no message)"),
    ],
)
def test_anything_is_one_line(raised, said):
    with pytest.raises(LayermapError) as caught, in_one_line("network net.py:build failed"):
        raise raised
    assert str(caught.value) == said and caught.value.__cause__ is raised


def test_errors_of_layermap_pass_as_they_are():
    error = BadConfiguration("size_px 3 is too small")
    with pytest.raises(BadConfiguration) as caught, in_one_line("network net.py:build failed"):
        raise error
    assert caught.value is error


def test_interruptions_are_no_errors_of_the_user():
    with pytest.raises(KeyboardInterrupt), in_one_line("network net.py:build failed"):
        raise KeyboardInterrupt
