"""What all tests share: where the real data are, and that whole studies begin first."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MIRROR = ROOT.parent / "shared" / "mirror"


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of real files, laid out as HOST/PATH; tests that need it skip where it is not."""
    if not MIRROR.is_dir():
        pytest.skip(f"needs the mirror of real data at {MIRROR}")
    return MIRROR


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole studies take minutes each: begun last, one worker would run them alone while the others are done."""
    items.sort(key=lambda item: item.get_closest_marker("study") is None)
