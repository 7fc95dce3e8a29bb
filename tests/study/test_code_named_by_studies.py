"""A study file names code. Reading, listing and planning it run none of it, and not everything may be named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.core import code_version
from pipeline.core.errors import LayermapError
from pipeline.core.module_files import find_module
from pipeline.core.registry import import_function
from pipeline.study.cli import main
from pipeline.study.load import load_study
from pipeline.study.plan import plan_study
from tests.activations.own_study import NETWORK, OWN, RIDGE, Lab

ROOT = Path(__file__).resolve().parents[2]
TELLS = "import pathlib\n\npathlib.Path({mark!r}).touch()\n\n"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """With pictures enough to be encoded, the stages running in a folder beside it."""
    made = Lab(tmp_path, n_pictures=24)
    monkeypatch.chdir(made.work)
    return made


def told(folder: Path, text: str) -> str:
    """Code that leaves a mark when it is imported."""
    return TELLS.format(mark=str(folder / "PWNED")) + text


def refusal(lab: Lab, networks: dict, models=("pixels",), metric=None) -> str:
    path = Path(lab.write(networks, *models))
    if metric is not None:
        study = yaml.safe_load(path.read_text())
        study["analyses"]["cells"]["metric"] = metric
        path.write_text(yaml.safe_dump(study))
    with pytest.raises(LayermapError) as caught:
        plan_study(load_study(str(path)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


HARMFUL = [
    *("os:system", "subprocess:run", "builtins:eval", "posix:system", "runpy:run_path", "pickle:load", "os.path:join"),
    *("pipeline.core.registry:import_object", "pipeline.formats.unpickle:load", "pipeline:cli", "pathlib:Path"),
    *("torch._utils:_rebuild_tensor", "torch.__main__:main", "numpy:_core", "..os:system", "a b:c", "/x:system"),
]


@pytest.mark.parametrize("value", HARMFUL)
def test_what_is_no_maker_of_networks_is_refused_where_the_study_is_read(lab, value):
    message = refusal(lab, {"x": {**OWN, "factory": value, "arguments": {"command": "touch PWNED"}}})
    assert "networks.x.factory" in message and f"'{value}'" in message
    message = refusal(lab, {}, metric={**RIDGE, "kind": "mapping", "predict": value})
    assert "predict" in message and f"'{value}'" in message


@pytest.mark.parametrize("place", ["../their_net.py", "{}/their_net.py"])
def test_files_outside_the_folder_of_the_study_are_refused(lab, place):
    (lab.folder.parent / "their_net.py").write_text(told(lab.work, NETWORK))
    value = f"{place.format(lab.folder.parent)}:build"
    assert "does not lie in the folder of the study" in refusal(lab, {"x": {**OWN, "factory": value}})
    (lab.folder / "nets").mkdir()
    (lab.folder / "nets" / "inside.py").write_text(NETWORK)
    (lab.folder / "linked.py").symlink_to(lab.folder.parent / "their_net.py")
    for inside in ("nets/inside.py:build", str(lab.folder / "nets" / "inside.py:build"), "linked.py:build"):
        lab.write({"x": {**OWN, "factory": inside}})
        for study in (lab.folder / "mine.yaml", Path("../lab/mine.yaml"), Path("../work/../lab/./mine.yaml")):
            plan_study(load_study(str(study)))
    assert not (lab.work / "PWNED").exists()


@pytest.fixture
def site(lab, monkeypatch):
    """A folder of installed packages, one of which leaves a mark when it is imported."""
    package = lab.folder.parent / "site" / f"telling_{lab.folder.parent.name}".replace("-", "_")
    (package / "deep" / "bare").mkdir(parents=True)
    for folder in (package, package / "deep"):
        (folder / "__init__.py").write_text(told(lab.work, ""))
    (package / "deep" / "net.py").write_text(told(lab.work, NETWORK))
    (package / "deep" / "bare" / "net.py").write_text(told(lab.work, NETWORK))
    monkeypatch.syspath_prepend(str(package.parent))
    code_version.code_version.cache_clear()
    return package


def test_modules_are_found_without_importing_what_is_around_them(lab, site):
    assert find_module(site.name).path == site / "__init__.py"
    assert find_module(f"{site.name}.deep.net").path == site / "deep" / "net.py"
    assert find_module(f"{site.name}.deep.bare.net").path == site / "deep" / "bare" / "net.py"
    assert find_module("torch.nn.functional").path.name == "functional.py"
    assert find_module(f"{site.name}.deeper.net") is None and find_module("no_such_package") is None
    assert not (lab.work / "PWNED").exists() and site.name not in sys.modules


def test_reading_planning_and_listing_import_and_call_nothing(lab, site, capsys):
    (lab.folder / "my_net.py").write_text(told(lab.work, NETWORK))
    (lab.folder / "my_mapping.py").write_text(told(lab.work, "def predict(a, b, c):\n    pass\n"))
    networks = {"own": OWN, "theirs": {**OWN, "factory": f"{site.name}.deep.net:build"}}
    study = lab.write(networks)
    for analysis in plan_study(load_study(study)).analyses:
        assert all(model.act_key(analysis.dataset, "stimulus") for model in analysis.models)
    lab.run("catalogue", "fetch", "prepare")
    assert main(["encode", "--estimate", "--study", study]) == 0
    capsys.readouterr()
    for name in ("own", "theirs", "own@random-1"):
        assert main(["layers", name, "--study", study]) == 0
        listed = capsys.readouterr().out
        assert "stem" in listed and "blocks.*" in listed and "was not run" in listed and "--build" in listed
    assert not (lab.work / "PWNED").exists()
    assert main(["layers", "own", "--study", study, "--build"]) == 0
    printed = capsys.readouterr()
    assert "running code that the study names: my_net.py:build" in printed.err
    assert "blocks.1" in printed.out and "modules: stem blocks" in printed.out
    assert (lab.work / "PWNED").exists()


@pytest.mark.study
def test_a_dry_run_imports_and_calls_nothing(lab):
    (lab.folder / "my_net.py").write_text(told(lab.work, NETWORK))
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "-n", "all"]
    done = subprocess.run(
        [*command, "--config", f"study={lab.write({'own': OWN})}"], cwd=lab.work, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (lab.work / "PWNED").exists()


def test_files_of_the_working_folder_do_not_stand_for_libraries(lab):
    for name in ("yaml", "numpy", "pydantic"):
        (lab.work / f"{name}.py").write_text(told(lab.work, ""))
    command = [sys.executable, "-m", "pipeline", "layers", "own", "--study", lab.write({"own": OWN})]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=lab.work, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "was not run" in done.stdout, done.stderr
    assert not (lab.work / "PWNED").exists()


def activated(lab: Lab, factory: str, capsys, **changes) -> str:
    lab.write({"x": {**OWN, "factory": factory, "layers": [""], **changes}}, "x")
    lab.run("catalogue", "fetch", "prepare")
    return lab.refusal("activate", capsys)


def test_functions_of_packages_are_called_only_if_announced(lab, site, capsys):
    factory = f"{site.name}.deep.net:build"
    assert f"factory '{factory}' is no torch.nn.Module" in activated(lab, factory, capsys)
    assert "layermap.networks" in activated(lab, "numpy:save", capsys, arguments={"file": "PWNED", "arr": [1]})
    assert not (lab.work / "PWNED.npy").exists()
    information = site.parent / f"{site.name}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {site.name}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[layermap.networks]\nbuild = {factory}\n")
    lab.write({"x": {**OWN, "factory": factory}})
    lab.run("catalogue", "fetch", "prepare", "activate")


def test_a_class_of_torch_modules_needs_no_announcement(lab, site):
    lab.write({"x": {**OWN, "factory": f"{site.name}.deep.net:Net", "arguments": {"width": 4, "depth": 2}}})
    lab.run("catalogue", "fetch", "prepare", "activate")


@pytest.mark.parametrize(
    ("factory", "arguments", "part"),
    [
        ("timm:create_model", {"model_name": "resnet18", "pretrained": True}, "pretrained would load weights unseen"),
        ("timm:create_model", {"model_name": "resnet18", "checkpoint_path": "w.pth"}, "checkpoint_path would load"),
        ("timm:create_model", {"model_name": "hf-hub:someone/net"}, "'hf-hub:someone/net' is a place"),
        ("torchvision.models:alexnet", {"weights": "DEFAULT"}, "weights would load weights unseen"),
    ],
)
def test_the_zoo_loads_no_weights(lab, site, factory, arguments, part):
    for package in ("timm", "torchvision"):
        (site.parent / package / "models").mkdir(parents=True, exist_ok=True)
        (site.parent / package / "__init__.py").write_text("")
        (site.parent / package / "models" / "__init__.py").write_text("")
    assert part in refusal(lab, {"x": {**OWN, "factory": factory, "arguments": arguments}})
    quiet = {"model_name": "resnet18"} if factory.startswith("timm") else {"weights": None}
    plan_study(load_study(lab.write({"x": {**OWN, "factory": factory, "arguments": quiet}})))


def test_a_mapping_of_ones_own_is_imported_when_it_is_fitted_only(lab):
    (lab.folder / "my_mapping.py").write_text(told(lab.work, "def predict(a, b, c):\n    return 3\n"))
    assert import_function(f"{lab.folder}/my_mapping.py:predict", "predict")(1, 2, 3) == 3
    assert (lab.work / "PWNED").exists()  # the mark works: without it no test above could fail
