"""Weights of the hub in shards or checkpoints: one file of the same tensors, whatever the split; nothing is run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from pipeline.core.errors import BrokenArtifact
from pipeline.models.convert.hub import convert

DRAW = torch.Generator().manual_seed(5)
TENSORS = {
    "block.10.weight": torch.randn(7, 3, generator=DRAW),
    "block.2.weight": torch.randn(300_000, generator=DRAW),  # more than is copied at a time
    "half": torch.randn(5, generator=DRAW).to(torch.bfloat16),
    "mask": torch.tensor([True, False, True]),
    "steps": torch.tensor(12),
    "nothing": torch.zeros(0, 4),
    "größe": torch.ones(2, 2),
}


def write_shards(folder: Path, shard_of: dict[str, str]) -> Path:
    """Shards and index as transformers saves them; returns the index."""
    folder.mkdir()
    suffix = ".safetensors" if next(iter(shard_of.values())).endswith(".safetensors") else ".bin"
    for shard in set(shard_of.values()):
        state = {name: TENSORS[name] for name, where in shard_of.items() if where == shard}
        save_file(state, folder / shard) if suffix == ".safetensors" else torch.save(state, folder / shard)
    index = folder / ("model.safetensors.index.json" if suffix == ".safetensors" else "pytorch_model.bin.index.json")
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": shard_of}))
    return index


@pytest.mark.parametrize("pattern", ["model-{}-of-3.safetensors", "pytorch_model-{}-of-3.bin"])
@pytest.mark.parametrize("n_shards", [1, 2, 3])
def test_shards_give_the_bytes_of_one_file(tmp_path: Path, pattern: str, n_shards: int) -> None:
    shard_of = {name: pattern.format(place % n_shards) for place, name in enumerate(TENSORS)}
    index = write_shards(tmp_path / "net", shard_of)
    convert(index, tmp_path / "net")
    made = tmp_path / "net" / "model.safetensors"
    assert made.read_bytes() == save(TENSORS, metadata={"format": "pt"})
    assert sorted(path.name for path in made.parent.iterdir()) == sorted([index.name, made.name])


def test_a_checkpoint_keeps_tied_and_transposed_weights(tmp_path: Path) -> None:
    tied = torch.arange(12.0).reshape(3, 4)
    torch.save({"embed": tied, "head": tied, "turned": tied.T}, tmp_path / "pytorch_model.bin")
    convert(tmp_path / "pytorch_model.bin", tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    assert set(found) == {"embed", "head", "turned"}
    assert (
        torch.equal(found["embed"], tied) and torch.equal(found["head"], tied) and torch.equal(found["turned"], tied.T)
    )


class Intruder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_a_checkpoint_that_asks_for_a_command_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2), "more": Intruder(tmp_path / "intruded")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(BrokenArtifact, match=r"asks for \w+\.system"):
        convert(tmp_path / "pytorch_model.bin", tmp_path)
    assert not (tmp_path / "intruded").exists()
    torch.load(tmp_path / "pytorch_model.bin", weights_only=False)  # it would have
    assert (tmp_path / "intruded").exists()


@pytest.mark.parametrize(
    ("state", "words"),
    [({"epoch": 3, "weight": torch.ones(2)}, "'epoch' is a int"), ([torch.ones(2)], "no table"), ({}, "no table")],
)
def test_a_checkpoint_of_something_else_is_named(tmp_path: Path, state: object, words: str) -> None:
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(BrokenArtifact, match=words) as error:
        convert(tmp_path / "pytorch_model.bin", tmp_path)
    assert str(tmp_path / "pytorch_model.bin") in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "expected a JSON object"),
        ('{"weight_map": {}}', "names no weights"),
        ('{"weight_map": {"mask": "../up.safetensors"}}', "no file beside it"),
        ('{"weight_map": {"mask": "/etc/passwd"}}', "no file beside it"),
        ('{"weight_map": {"gone": "model-0.safetensors"}}', "holds no tensor 'gone'"),
    ],
)
def test_a_wrong_index_is_one_line(tmp_path: Path, content: str, words: str) -> None:
    index = write_shards(tmp_path / "net", {"mask": "model-0.safetensors"})
    index.write_text(content)
    with pytest.raises(BrokenArtifact, match=words) as error:
        convert(index, tmp_path / "net")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [4, 40, -3])
def test_a_shard_cut_short_is_named(tmp_path: Path, keep: int) -> None:
    index = write_shards(tmp_path / "net", {"block.10.weight": "model-0.safetensors"})
    shard = tmp_path / "net" / "model-0.safetensors"
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(BrokenArtifact, match=r"model-0\.safetensors"):
        convert(index, tmp_path / "net")
