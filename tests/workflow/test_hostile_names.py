"""Servers and folders that give names meant for a shell: refused by name, and nothing of them is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.activations.own_study import Lab
from tests.http_server import running
from tests.observatory.rows_two_photon import made_up_containers, observatory_rows
from tests.observatory.server import ObservatoryServer
from tests.workflow.conftest import Folder

pytestmark = pytest.mark.slow

HOSTILE = [
    "701'$(touch PWNED)'",
    "701\ntouch PWNED",
    "701; touch PWNED",
    "`touch PWNED`",
    "../../PWNED",
    "-x",
    "７０１",
]
STUDY = {
    "study": "hostile",
    "title": "A warehouse that answers with commands",
    "analyses": {
        "scenes": {
            "recording": {
                "kind": "allen_2p",
                "stimuli": ["natural_scenes"],
                "areas": ["VISp"],
                "limit": 1,
            },
            "models": ["pixels"],
            "metric": {"kind": "ridge", "splits": {"kind": "random_items"}},
        }
    },
}


def warehouse(name: Any, field: str = "id") -> ObservatoryServer:
    """A server whose experiments are called so, and have files all the same."""
    rows = observatory_rows(made_up_containers(["VISp"], per_area=1))
    for experiment in rows["OphysExperiment"]:
        experiment[field] = name
    if field == "id":
        for file in rows["WellKnownFile"]:
            file["attachable_id"] = name
    return ObservatoryServer(rows, {})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return Folder(tmp_path / "work")


def refused(folder: Folder, server: ObservatoryServer, name: str, run: str) -> str:
    study = folder.write_study(STUDY, "hostile.yaml")
    if run == "snakemake":
        done = folder.run("all", "--config", f"study={study}", f"mirror={server.prefix}")
    else:
        done = folder.stage("catalogue", "--study", study, "--mirror", server.prefix)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("layermap")]
    assert lines and ascii(name) in lines[0], said
    assert not list(folder.path.parent.rglob("*PWNED*"))
    assert not list(folder.path.rglob("*.json"))
    return lines[0]


@pytest.mark.parametrize("name", HOSTILE)
def test_an_experiment_with_such_a_number_is_refused_by_name(folder, name):
    with running(warehouse(name)) as server:
        message = refused(folder, server, name, "plain")
    assert "allen_2p" in message and "which is no number" in message and "mirror" in message


@pytest.mark.study
def test_snakemake_runs_nothing_of_it(folder):
    with running(warehouse(HOSTILE[0])) as server:
        refused(folder, server, HOSTILE[0], "snakemake")


@pytest.mark.study
def test_files_of_a_folder_may_have_such_names_and_the_study_too(tmp_path):
    """Names of files are in no command; the study's own path is an argument like any other."""
    lab = Lab(tmp_path)
    names = ["$(touch PWNED)", "'; touch PWNED; '", "`touch PWNED`", "a b", "-x", "größe"]
    for name, path in zip(names, sorted((lab.folder / "images").iterdir()), strict=False):
        path.rename(path.with_name(f"{name}.png"))
    study = Path(lab.write({}, "pixels"))
    odd = study.rename(study.with_name("a '$(touch PWNED)' b.yaml"))
    folder = Folder(tmp_path / "work")
    done = folder.run("activate", "--config", f"study={odd}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert list((folder.path / "data" / "activations").rglob("*.zarr"))
    assert not list(tmp_path.rglob("PWNED*"))
