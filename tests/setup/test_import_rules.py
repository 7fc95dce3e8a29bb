"""The rules of pyproject.toml on what may import what: `make lint` holds them, and would find a violation."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def broken(house: Path) -> str:
    """What is said; nothing where all rules are kept."""
    done = subprocess.run(
        [LINT, "--no-cache", "--no-logo"], cwd=house, capture_output=True, text=True, env={"PYTHONPATH": str(house)}
    )
    return done.stdout if done.returncode else ""


def test_all_rules_are_kept(house: Path) -> None:
    assert broken(house) == ""


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        (
            "core/errors.py",
            "from pipeline.artifacts.storage.store import write_whole",
            "pipeline.core is not allowed to import",
        ),
        (
            "encoding/stage.py",
            "from pipeline.study.plan import plan_study",
            "pipeline.encoding is not allowed to import",
        ),
        ("report/page.py", "def f():\n    import pipeline.study.study", "pipeline.report is not allowed to import"),
        ("models/entry.py", "import pipeline.recordings.entry", "pipeline.models is not allowed to import"),
        ("inference/profile.py", "import pipeline.inference.stage", "No cycles are allowed in pipeline.inference"),
    ],
)
def test_a_planted_violation_is_found(house: Path, module: str, line: str, said: str) -> None:
    path = house / "pipeline" / module
    path.write_text(f"{path.read_text()}\n\n{line}\n")
    assert said in broken(house)
