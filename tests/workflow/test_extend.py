"""docs/extend.md to the letter, and the example package that adds a dataset, a network and a metric."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "own_study"
PACKAGE = ROOT / "examples" / "layermap_example"
USERS_FILES = ("my_net.py", "my_mapping.py", "my_study.yaml")


def run(command, folder, **environment):
    """A command as a user types it, with layermap's environment active."""
    path = os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def summary(path):
    """(analysis, model, region) → row of the map's summary."""
    with open(path, encoding="utf-8") as stream:
        return {(row["analysis"], row["model"], row["region"]): row for row in csv.DictReader(stream)}


@pytest.mark.parametrize("name", USERS_FILES)
def test_the_document_shows_the_files_as_they_are(name):
    shown = re.search(rf"`{re.escape(name)}`\n```\w+\n(.*?)```", DOCUMENT, re.DOTALL)
    assert shown, f"{name} is not in docs/extend.md"
    assert shown[1].strip() == (EXAMPLE / name).read_text(encoding="utf-8").strip()


def test_a_users_code_is_under_60_lines():
    lines = [line for name in USERS_FILES for line in (EXAMPLE / name).read_text(encoding="utf-8").splitlines()]
    assert sum(bool(line.strip()) for line in lines) < 60


@pytest.mark.study
def test_the_documents_commands_lead_from_files_to_the_report(tmp_path):
    folder = tmp_path / "a folder of mine"
    shutil.copytree(EXAMPLE, folder)
    commands = re.search(r"```bash\n(.*?)```", DOCUMENT, re.DOTALL)[1]
    printed = run(commands, folder, LAYERMAP=str(ROOT))
    assert re.search(r"0\s+0\.000\s+main\s+blocks\.0\n", printed)
    rows = summary(folder / "data" / "maps" / "mine-summary.csv")
    assert rows["cells", "my-net", "early"]["best_layer"] == "blocks.0"
    assert rows["cells", "my-net", "late"]["best_layer"] == "blocks.2"
    for analysis in ("cells", "best-unit"):
        for region in ("early", "late"):
            mine, pixels = (float(rows[analysis, model, region]["best_layer_score"]) for model in ("my-net", "pixels"))
            assert mine > pixels + 0.1
    page = (folder / "reports" / "mine" / "index.html").read_text(encoding="utf-8")
    for words in ("My pictures, my cells, my network, my mapping", "my-net", "blocks.2", "my_net.py:build"):
        assert words in page


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder of packages with the example installed by pip."""
    work = tmp_path_factory.mktemp("package")
    shutil.copytree(PACKAGE, work / "source")
    target = work / "site"
    install = "python -m pip install --quiet --no-deps --no-build-isolation --disable-pip-version-check"
    run(f"{install} --target '{target}' '{work / 'source'}'", work)
    return target


@pytest.mark.study
def test_a_package_adds_dataset_network_and_metric(site, tmp_path):
    for name in ("study.yaml", "make_lab_file.py"):
        shutil.copy(PACKAGE / name, tmp_path)
    listed = run("python -m pipeline models", tmp_path, PYTHONPATH=str(site))
    assert re.search(r"^example-edges\s+baseline", listed, re.MULTILINE)
    assert "example-edges" not in run("python -m pipeline models", tmp_path)
    commands = f"python make_lab_file.py && snakemake --snakefile '{ROOT}/Snakefile' all --config study=study.yaml"
    run(commands, tmp_path, PYTHONPATH=str(site))
    rows = summary(tmp_path / "data" / "maps" / "example-summary.csv")
    for region in ("V1", "V2"):
        edges, pixels = rows["cells", "example-edges", region], rows["cells", "pixels", region]
        assert edges["metric"] == "example_pls" and edges["best_layer"] == "pooled16"
        assert float(edges["best_layer_score"]) > float(pixels["best_layer_score"]) + 0.1
    assert (tmp_path / "reports" / "example" / "index.html").is_file()
