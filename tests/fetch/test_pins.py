"""The lock file of hub weights: written whole, read strictly, and silent about nothing."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.fetch.weights import pins

REPO = "tiny/vit"
FIRST = "1" * 40


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAYERMAP_WEIGHTS_LOCK", str(tmp_path / "weights.lock.json"))
    return tmp_path / "weights.lock.json"


def pin_of(repo: str, revision: str = FIRST) -> pins.Pin:
    file = pins.PinnedFile(name="model.safetensors", bytes=8, sha256="a" * 64)
    return pins.Pin(repo=repo, revision=revision, files=(file,), config={"model_type": "vit"})


def test_what_is_written_is_read_and_order_does_not_matter(lock) -> None:
    for repo in ("b/net", "a/net"):
        assert pins.write_pin(pin_of(repo)) is None
    first = lock.read_bytes()
    lock.unlink()
    for repo in ("a/net", "b/net"):
        pins.write_pin(pin_of(repo))
    assert lock.read_bytes() == first
    assert pins.find_pin("b/net") == pin_of("b/net")
    assert pins.write_pin(pin_of("b/net", "2" * 40)) == pin_of("b/net")
    assert pins.find_pin("b/net").revision == "2" * 40 and pins.find_pin("a/net") == pin_of("a/net")


def test_pins_written_at_the_same_time_are_all_kept(lock) -> None:
    repos = [f"org/net{number}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda repo: pins.write_pin(pin_of(repo)), repos))
    assert set(pins.read_pins()) == set(repos)


def test_a_lock_file_that_is_broken_is_not_written_over(lock) -> None:
    lock.write_text("{ a merge went wrong")
    with pytest.raises(BrokenArtifact, match="not JSON"):
        pins.write_pin(pin_of(REPO))
    assert lock.read_text() == "{ a merge went wrong"


def test_not_pinned_yet(lock) -> None:
    with pytest.raises(LayermapError) as error:
        pins.weight_source("facebook/dinov2-base")
    assert str(error.value) == (
        "weights of 'facebook/dinov2-base' are not pinned yet; pin them (once, with a network): "
        "python -m pipeline pin facebook/dinov2-base"
    )


def entry(revision: str = FIRST, name: str = "model.safetensors", digest: str = "0" * 64) -> str:
    files = [{"name": name, "bytes": 1, "sha256": digest}]
    return json.dumps({REPO: {"revision": revision, "files": files, "config": {"model_type": "vit"}}})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[]", "an object per repository"),
        (entry(revision="main"), "'tiny/vit': revision"),
        (json.dumps({REPO: {"revision": FIRST}}), "files: Field required"),
        (entry(name="config.json"), "no weights"),
        (entry(name="../model.safetensors"), r"files\.0\.name"),
        (entry(digest="0"), r"files\.0\.sha256"),
    ],
)
def test_a_broken_lock_file_is_one_line(lock, content, words) -> None:
    lock.write_text(content)
    with pytest.raises(BrokenArtifact, match=words) as error:
        pins.weight_source(REPO)
    assert "python -m pipeline pin" in str(error.value) and str(lock) in str(error.value)
