"""What is printed arrives on terminals and pipes of any encoding, and is no reason to fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.study.cli import main
from tests.activations.own_study import Lab

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PLAIN = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
ALL = """
import json, sys
from pipeline.study.cli import main
sys.exit(max(main(command) for command in json.loads(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Lab:
    """A study of pictures, ready to be encoded."""
    lab = Lab(tmp_path_factory.mktemp("lab"), n_pictures=24)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(lab.work)
        lab.write({}, "pixels")
        lab.run("catalogue", "fetch", "prepare", "activate")
    return lab


def printed(arguments, environment, folder, given=None) -> subprocess.CompletedProcess:
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**outside, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
    )


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii:strict"}, PLAIN],
)
def test_every_list_is_printed_on_a_terminal_that_is_not_utf8(lab, environment):
    study = str(lab.folder / "mine.yaml")
    estimate = ["encode", "--estimate", "--study", study, "--threads", "1"]
    commands = [["models"], ["studies"], ["recipes"], ["layers", "pixels"], estimate]
    done = printed(["-c", ALL, json.dumps(commands)], environment, lab.work)
    assert done.returncode == 0, done.stderr.decode("latin-1")
    lines = done.stdout.decode("latin-1")
    assert (
        "dinov2-base" in lines
        and "allen_scenes" in lines
        and "images_masked" in lines
        and "relative depth" in lines
        and "peak memory" in lines
    )
    assert "?" in lines  # what the encoding lacks: the dash of networks without parameters


def test_a_message_with_what_the_encoding_lacks_is_one_line_and_whole_in_the_log(lab):
    wrong = lab.work / "größe-µ.yaml"
    wrong.write_text("study: mine\ntitle: µ\n", encoding="utf-8")
    arguments = ["-m", "pipeline", "catalogue", "--study", wrong.name, "--log", "log.txt"]
    done = printed(arguments, {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}, lab.work)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1 and b"gr??e-?.yaml" in done.stderr
    assert "größe-µ.yaml" in (lab.work / "log.txt").read_text(encoding="utf-8")


def test_names_that_are_no_text_are_spelled_out(lab):
    """A file's name in another encoding than the terminal's: bytes that cannot be printed anywhere."""
    name = os.fsencode("gr") + b"\xf6\xdfe.yaml"
    arguments = ["-m", "pipeline", "catalogue", "--study", name, "--log", "log.txt"]
    done = printed(arguments, {"PYTHONUTF8": "1"}, lab.work)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1, done.stderr
    assert rb"gr\udcf6\udcdfe.yaml does not exist" in done.stderr
    assert r"gr\udcf6\udcdfe.yaml" in (lab.work / "log.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(("closed", "status"), [(">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0)])
def test_closed_streams_are_no_failure(lab, closed, status):
    command = f"exec '{sys.executable}' -m pipeline models {closed}"
    done = subprocess.run(["bash", "-c", command], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.returncode == status and done.stderr == b""
    failing = f"exec '{sys.executable}' -m pipeline layers no-such-model {closed}"
    assert subprocess.run(["bash", "-c", failing], env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode == 1


def test_streams_without_an_encoding_are_left_alone(monkeypatch):
    class Kept:
        text = ""

        def write(self, text):
            self.text += text

        def isatty(self):
            return False

    kept = Kept()
    monkeypatch.setattr(sys, "stdout", kept)
    assert main(["layers", "pixels"]) == 0 and "relative depth" in kept.text
