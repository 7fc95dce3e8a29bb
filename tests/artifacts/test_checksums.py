"""Altered, lost and swapped bytes of artifacts: an error that names the file, or what was written; nothing else."""

import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pipeline.artifacts.activations import ATTRS, ActivationWriter, LayerInfo, open_activations
from pipeline.artifacts.catalogue import (
    Catalogue,
    FetchedFile,
    Group,
    RawFile,
    Receipt,
    Run,
    StimulusEntry,
    open_catalogue,
    open_receipt,
    write_json,
)
from pipeline.artifacts.geometry import open_geometry, write_geometry
from pipeline.artifacts.map import TABLES, csv_path, digests_path, open_map, write_map
from pipeline.artifacts.recording import (
    RecordingParts,
    blocks_of_samples,
    open_recording,
    open_recording_blocks,
    read_samples,
    write_recording,
)
from pipeline.artifacts.stimulus import open_stimulus, write_stimulus
from pipeline.artifacts.storage import checksums
from pipeline.artifacts.storage.contract import read_attrs
from pipeline.artifacts.storage.store import standard_attrs, write_whole
from pipeline.core.errors import BrokenArtifact
from tests.artifacts.test_contracts import recording
from tests.artifacts.test_recording_parts import header

pytestmark = pytest.mark.slow

FLIPS = 80
rng = np.random.default_rng(0)
RESPONSES = rng.standard_normal((2, 40, 9)).astype(np.float32)


def write_large(path, n_repeats=2, n_samples=5000, n_targets=300):
    """A recording of several blocks."""
    values = np.random.default_rng(1).standard_normal((n_repeats, n_samples, n_targets), dtype=np.float32)
    labelled = header(n_samples, n_targets).assign(
        responses=(("repeat", "sample", "target"), values),
        n_repeats=(("sample", "target"), np.full((n_samples, n_targets), n_repeats)),
    )
    write_recording(labelled, path)
    return values


def write_in_parts(path):
    write_recording(RecordingParts(header(), iter(np.split(RESPONSES[:1], (2, 7), axis=2))), path)


def write_matrices(path):
    similarity = np.corrcoef(rng.standard_normal((6, 20)))[..., None].astype(np.float32)
    labels = {name: ("target", ["x"]) for name in ("target", "region", "compartment", "subject")}
    dataset = xr.Dataset(
        {"similarity": (("item", "item2", "target"), similarity), "ceiling": ("target", [0.5])},
        coords={"item": list("abcdef"), **labels},
        attrs={
            **standard_attrs("geometry", "test", "c", "i"),
            **{"similarity": "pearson", "ceiling_kind": "k", "stimulus": "s", "units": "1", "n_subjects": 1},
        },
    )
    write_geometry(dataset, path)


def write_pictures(path):
    pictures = rng.integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    pictures[4] = 0  # a black picture is data, too
    dataset = xr.Dataset(
        {"images": (("image", "y", "x", "colour"), pictures)},
        coords={"item": ("image", [f"p{number}" for number in range(9)])},
        attrs={**standard_attrs("stimulus", "test", "c", "i"), "modality": "images", "name": "s"},
    )
    write_stimulus(dataset, path)


def write_layers(path):
    attrs = {**dict.fromkeys(ATTRS, "x"), **standard_attrs("activations", "t", "c", "i"), "sample_kind": "time"}
    layers = [LayerInfo("wide", 0, 0.0), LayerInfo("narrow", 1, 1.0)]
    with write_whole(path) as temporary:
        writer = ActivationWriter(temporary, layers, 200, np.arange(200.0), attrs)
        wide = np.random.default_rng(2).standard_normal((200, 3000)).astype(np.float32)
        wide[:100] = 0
        writer.write(0, {"wide": wide, "narrow": wide[:, :3]})
        writer.close()


def write_catalogue(path):
    document = Catalogue(
        dataset="files",
        key="0123456789",
        groups=(Group(name="g", runs=(Run(stimulus="s", recording="r"),), subjects=("é",)),),
        recordings=("r",),
        stimuli=(StimulusEntry(name="s", modality="images"),),
        files=(RawFile(path="a.npy", url="https://host/a.npy", bytes=10, sha256="0" * 64),),
    )
    write_json(document, path)


def write_receipt(path):
    file = FetchedFile(path="a.npy", url="https://host/a.npy", bytes=10, sha256="0" * 64)
    write_json(Receipt(what="files", key="0123456789", files=(file,)), path)


def write_table(path):
    kinds = {"s": "text, 'quoted'", "f": 0.25, "i": 3}
    tables = {name: pd.DataFrame({c: [kinds[k]] * 3 for c, k in columns.items()}) for name, columns in TABLES.items()}
    write_map(tables, {**standard_attrs("map", "test", "c", "i"), "study": "s"}, path)


def read_layers(path):
    opened = open_activations(path)
    whole = {layer.name: opened.read(layer.name) for layer in opened.layers}
    blocks = {layer.name: np.concatenate([b for _, b in opened.blocks(layer.name, 1)]) for layer in opened.layers}
    return opened.attrs, opened.layers, opened.clock(), whole, blocks


def read_blocks(path):
    with open_recording_blocks(path) as opened:
        names = {name: opened[name].values for name in opened.variables if name not in ("responses", "n_repeats")}
        slices = list(blocks_of_samples(opened, 1))
        return (
            opened.attrs,
            names,
            [[read_samples(opened, path, n, s) for s in slices] for n in ("responses", "n_repeats")],
        )


def values_of(dataset):
    return dataset.attrs, {
        name: (variable.dims, variable.attrs, variable.values) for name, variable in dataset.variables.items()
    }


KINDS = {
    "recording": (
        "r.nc",
        lambda path: write_recording(recording(), path),
        lambda path: values_of(open_recording(path)),
    ),
    "recording in blocks": ("r.nc", lambda path: write_recording(recording(), path), read_blocks),
    "recording in parts": ("r.nc", write_in_parts, read_blocks),
    "attributes": ("r.nc", write_in_parts, lambda path: read_attrs(path, "prepare")),
    "geometry": ("g.nc", write_matrices, lambda path: values_of(open_geometry(path))),
    "stimulus": ("s.zarr", write_pictures, lambda path: values_of(open_stimulus(path))),
    "activations": ("a.zarr", write_layers, read_layers),
    "catalogue": ("c.json", write_catalogue, open_catalogue),
    "receipt": ("receipt.json", write_receipt, open_receipt),
    "map": ("m.nc", write_table, open_map),
}


def same(one, other):
    """Equality of whatever readers return; NaN equals NaN."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, pd.DataFrame):
        return one.equals(other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return type(one) is type(other) and one == other


@pytest.fixture(scope="module", params=KINDS)
def artifact(request, tmp_path_factory):
    """(folder with one artifact, its path, how it is read, what was written)."""
    name, write, read = KINDS[request.param]
    folder = tmp_path_factory.mktemp("artifact")
    write(folder / name)
    return folder, name, read, read(folder / name)


def copies(artifact, tmp_path):
    folder, name, read, written = artifact
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy", tmp_path / "copy" / name, read, written


def outcome(read, path, written):
    """``refused``, ``the same``, or whatever else."""
    try:
        found = read(path)
    except BrokenArtifact as error:
        named = path.stem in str(error) and "\n" not in str(error)
        return "refused" if named else f"refused without a name: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "the same" if same(found, written) else "silent"


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


def test_a_flipped_bit_is_refused_or_changes_nothing(artifact, tmp_path):
    folder, path, read, written = copies(artifact, tmp_path)
    assert outcome(read, path, written) == "the same"
    files, places = files_of(folder), np.random.default_rng(3)
    sizes = np.array([file.stat().st_size for file in files], float)
    # by size, but no file is forgotten
    chosen = [*files, *places.choice(np.array(files, object), FLIPS, p=sizes / sizes.sum())]
    outcomes = {}
    for file in chosen:
        whole = file.read_bytes()
        place, bit = int(places.integers(len(whole))), int(places.integers(8))
        file.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
        outcomes[f"{file.name} byte {place} bit {bit}"] = outcome(read, path, written)
        file.write_bytes(whole)
    odd = {where: what for where, what in outcomes.items() if what not in ("refused", "the same")}
    assert not odd
    assert "refused" in outcomes.values()


@pytest.mark.parametrize("damage", ["deleted", "zeroed", "halved", "emptied", "grown"])
def test_a_file_that_is_lost_or_damaged_is_refused(artifact, tmp_path, damage):
    folder, path, read, written = copies(artifact, tmp_path)
    for file in files_of(folder):
        whole = file.read_bytes()
        if damage == "deleted":
            file.unlink()
        else:
            half = len(whole) // 2
            changed = {"zeroed": bytes(len(whole)), "halved": whole[:half], "emptied": b"", "grown": whole + b"\0" * 9}
            file.write_bytes(changed[damage])
        harmless = file.parent.name == "layers"  # nobody reads the metadata of the group between
        assert outcome(read, path, written) in (["refused", "the same"] if harmless else ["refused"]), file
        file.write_bytes(whole)


@pytest.mark.parametrize("kind", ["stimulus", "activations"])
def test_chunks_in_each_others_place_are_refused(tmp_path, kind):
    name, write, read = KINDS[kind]
    if kind == "stimulus":
        pictures = rng.integers(0, 256, (4, 700, 700, 3), dtype=np.uint8)
        attrs = {**standard_attrs("stimulus", "test", "c", "i"), "modality": "images", "name": "s"}
        coords = {"item": ("image", list("abcd"))}
        write_stimulus(
            xr.Dataset({"images": (("image", "y", "x", "colour"), pictures)}, coords, attrs), tmp_path / name
        )
    else:
        write(tmp_path / name)
    large = "images" if kind == "stimulus" else "wide"
    chunks = [path for path in files_of(tmp_path / name) if f"/{large}/c/" in str(path)]
    assert len(chunks) > 1
    one, other = chunks[0].read_bytes(), chunks[-1].read_bytes()
    assert one != other
    chunks[0].write_bytes(other)
    chunks[-1].write_bytes(one)
    with pytest.raises(BrokenArtifact, match="was altered since it was written"):
        read(tmp_path / name)


def test_a_chunk_that_vanishes_while_others_are_read_is_missed(tmp_path):
    write_layers(tmp_path / "a.zarr")
    blocks = open_activations(tmp_path / "a.zarr").blocks("wide", 1)
    next(blocks)
    last = max(path for path in files_of(tmp_path / "a.zarr") if "/wide/c/" in str(path))
    last.unlink()
    with pytest.raises(BrokenArtifact, match="is missing"):
        list(blocks)


def test_chunks_of_zeros_are_written_and_other_programs_read_them(tmp_path):
    import zarr

    write_pictures(tmp_path / "s.zarr")
    write_layers(tmp_path / "a.zarr")
    chunks = [path for path in files_of(tmp_path / "a.zarr") if "/wide/c/" in str(path)]
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert len(chunks) == group["layers/wide"].nchunks
    np.testing.assert_array_equal(group["layers/wide"][:], open_activations(tmp_path / "a.zarr").read("wide"))
    whole = chunks[-1].read_bytes()
    chunks[-1].write_bytes(whole[:9] + bytes([whole[9] ^ 1]) + whole[10:])
    with pytest.raises(ValueError, match="checksum"):  # Zarr's own codec finds it, without layermap
        group["layers/wide"][:]


def test_snakemakes_own_file_in_the_folder_is_no_part_of_it(tmp_path):
    write_pictures(tmp_path / "s.zarr")
    (tmp_path / "s.zarr" / ".snakemake_timestamp").touch()
    assert open_stimulus(tmp_path / "s.zarr").sizes["image"] == 9


def test_blocks_are_checked_one_by_one(tmp_path):
    path = tmp_path / "large.nc"
    values = write_large(path)
    with open_recording_blocks(path) as opened:
        slices = list(blocks_of_samples(opened, 1))
        assert len(slices) > 3
        found = np.concatenate([read_samples(opened, path, "responses", one) for one in slices], axis=1)
        np.testing.assert_array_equal(found, values)
        odd = slice(slices[1].start - 3, slices[2].start + 5)
        np.testing.assert_array_equal(read_samples(opened, path, "responses", odd), values[:, odd])
    contents = bytearray(path.read_bytes())
    place = contents.index(values[1, slices[2].start].tobytes())
    contents[place] ^= 1
    path.write_bytes(contents)
    with open_recording_blocks(path) as opened:
        read_samples(opened, path, "responses", slices[1])
        with pytest.raises(BrokenArtifact, match=rf"samples {slices[2].start} to \d+ of variable 'responses'"):
            read_samples(opened, path, "responses", slice(slices[2].stop - 1, slices[2].stop))


def test_a_json_document_is_known_by_its_contents_not_its_layout(tmp_path):
    write_catalogue(tmp_path / "c.json")
    raw = json.loads((tmp_path / "c.json").read_text())
    (tmp_path / "c.json").write_text(json.dumps(raw))
    assert open_catalogue(tmp_path / "c.json").dataset == "files"
    raw["files"][0]["bytes"] = 11
    (tmp_path / "c.json").write_text(json.dumps(raw))
    with pytest.raises(BrokenArtifact, match=r"c\.json was altered since it was written"):
        open_catalogue(tmp_path / "c.json")


def test_the_maps_digests_are_those_of_sha256sum(tmp_path):
    write_table(tmp_path / "m.nc")
    lines = dict(reversed(line.split("  ")) for line in digests_path(tmp_path / "m.nc").read_text().splitlines())
    assert set(lines) == {"m.nc", *(csv_path(tmp_path / "m.nc", table).name for table in TABLES)}
    assert all(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest for name, digest in lines.items())


def test_crc32c_is_castagnolis():
    # RFC 3720, appendix B.4
    assert checksums.crc32c(bytes(32)) == 0x8A9136AA
    assert checksums.crc32c(bytes(range(32))) == 0x46DD794E
    assert checksums.crc32c(bytes(range(16, 32)), checksums.crc32c(bytes(range(16)))) == 0x46DD794E


def test_nothing_and_numbers_as_objects_are_written_and_read(tmp_path):
    tables = {name: pd.DataFrame(columns=list(columns)) for name, columns in TABLES.items()}
    write_map(tables, {**standard_attrs("map", "test", "c", "i"), "study": "s"}, tmp_path / "empty.nc")
    assert all(len(table) == 0 for table in open_map(tmp_path / "empty.nc")[0].values())
    depth_um = np.array([1.5, np.nan, 3.0], dtype=object)
    write_recording(recording().assign_coords(depth_um=("target", depth_um)), tmp_path / "r.nc")
    np.testing.assert_array_equal(open_recording(tmp_path / "r.nc")["depth_um"].values, [1.5, np.nan, 3])


def test_other_programs_read_netcdf_with_its_footer(tmp_path):
    write_recording(recording(), tmp_path / "r.nc")
    with xr.open_dataset(tmp_path / "r.nc", engine="h5netcdf") as plain:
        np.testing.assert_array_equal(plain["responses"].values, recording()["responses"].values)


def test_an_artifact_without_checksums_says_so(tmp_path):
    recording().to_netcdf(tmp_path / "old.nc", engine="h5netcdf")
    with pytest.raises(
        BrokenArtifact, match=r"old\.nc .*its checksums are not there: .* of an older layermap; delete it"
    ):
        open_recording(tmp_path / "old.nc")


def test_hdf5_never_sees_damaged_metadata(tmp_path):
    """It hung for minutes on zeroed bytes like these."""
    write_recording(recording(), tmp_path / "r.nc")
    whole = (tmp_path / "r.nc").read_bytes()
    for start in range(0, len(whole) - 4096, 512):
        (tmp_path / "r.nc").write_bytes(whole[:start] + bytes(4096) + whole[start + 4096 :])
        with pytest.raises(BrokenArtifact):
            open_recording(tmp_path / "r.nc")
