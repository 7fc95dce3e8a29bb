"""What all tests share: where the real data are."""

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
