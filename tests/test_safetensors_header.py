"""A safetensors file is what its header says, or it is refused before anything of it is copied or loaded."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline.core.errors import BrokenArtifact
from pipeline.formats.weight_files import NotSafetensors, read_header
from pipeline.models.convert.hub import convert


def write(path, header, data=b"", n_header=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if n_header is None else n_header).to_bytes(8, "little") + text + data)
    return path


def entry(start, end, shape=None, dtype="F32"):
    return {"dtype": dtype, "shape": [(end - start) // 4] if shape is None else shape, "data_offsets": [start, end]}


def test_what_the_library_writes_is_read(tmp_path):
    tensors = {
        "b": np.ones((2, 3), np.float32),
        "a": np.zeros(5, np.float16),
        "n": np.array(3, np.int64),
        "none": np.zeros((0, 4), np.float32),
        "flag": np.array([True, False]),
    }
    path = tmp_path / "x.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    found = read_header(path)
    contents = path.read_bytes()
    assert found.keys() == tensors.keys()
    for name, values in tensors.items():
        stored = found[name]
        assert contents[stored.start : stored.start + stored.n_bytes] == values.tobytes()
        assert tuple(stored.shape) == values.shape


@pytest.mark.parametrize(
    ("header", "data", "n_header", "words"),
    [
        ({}, b"", (1 << 63) + 5, "does not fit into the file"),
        ({}, b"", 1, "is not JSON"),
        ({"a": entry(0, 8)}, b"\0" * 4, None, "its header says"),
        ({"a": entry(0, 8)}, b"\0" * 12, None, "its header says"),
        ({"a": entry(0, 8), "b": entry(0, 8)}, b"\0" * 8, None, "'b' begins at byte"),  # one stretch for both
        ({"a": entry(4, 8)}, b"\0" * 8, None, "'a' begins at byte"),
        ({"a": entry(0, 8, [1 << 40])}, b"\0" * 8, None, r"'a' is F32 of shape \[1099511627776\]"),
        ({"a": entry(0, 8, [-1, -2])}, b"\0" * 8, None, "'a' is F32 of shape"),
        ({"a": entry(-8, 0)}, b"", None, "'a' is F32 of shape|'a' lies|lies at -8"),
        ({"a": {"dtype": "F32"}}, b"", None, "not that of a safetensors file"),
        ([1, 2], b"", None, "not that of a safetensors file"),
        (b'{"a": {"dtype":"U8","shape":[1],"data_offsets":[0,1]}, "a": 1}', b"\0", None, "has the key 'a' twice"),
        (b"[" * 100_000, b"", None, "levels deep"),
    ],
)
def test_headers_that_lie(tmp_path, header, data, n_header, words):
    path = write(tmp_path / "x.safetensors", header, data, n_header)
    with pytest.raises(NotSafetensors, match=words) as caught:
        read_header(path)
    assert "\n" not in str(caught.value)


def test_a_header_beyond_the_formats_own_limit(tmp_path):
    path = tmp_path / "x.safetensors"
    with open(path, "wb") as stream:
        stream.write((200_000_000).to_bytes(8, "little") + b"{")
        stream.truncate(200_000_008)  # a hole: no room is taken
    with pytest.raises(NotSafetensors, match=r"its header has 200\.0 MB, the format allows 100\.0 MB"):
        read_header(path)


def test_shards_that_share_their_bytes_are_not_multiplied(tmp_path):
    """Joined, a thousand tensors of one stretch would fill the disk."""
    names = [f"t{number}" for number in range(1000)]
    write(tmp_path / "model-1.safetensors", {name: entry(0, 4000) for name in names}, b"\0" * 4000)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(names, "model-1.safetensors")}))
    with pytest.raises(BrokenArtifact, match=r"model-1\.safetensors is no whole safetensors file \('t"):
        convert(index, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
