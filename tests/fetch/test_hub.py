"""Networks of the hub: pinned once, then fetched byte for byte. A server on loopback answers as the hub does."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from pipeline.artifacts.catalogue import open_receipt
from pipeline.core.errors import BadConfiguration, FetchError, LayermapError
from pipeline.fetch.mirror import Mirror
from pipeline.fetch.stage import run_fetch_weights
from pipeline.fetch.weights import hub, pins
from pipeline.fetch.weights.resolve import weights_key

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
REPO = "tiny/vit"
FIRST, SECOND = "1" * 40, "2" * 40
LAYOUTS = ("one", "shards", "checkpoint", "checkpoint_shards")
LARGE = (".safetensors", ".bin", ".h5")
HTML = b"<!DOCTYPE html><title>Please log in</title>"


def sha256(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def blob_id(contents: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(contents) + contents).hexdigest()


@dataclasses.dataclass
class Refusal:
    status: int
    code: str = ""
    body: bytes = b"no"
    kind: str = "text/plain"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeHub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        hub = self.server
        hub.asked.append(self.path)
        parts = urlsplit(self.path)
        path = unquote(parts.path).removeprefix("/mirror/huggingface.co")
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path)
        if found:
            if hub.refusal:
                return self._send(hub.refusal.body, hub.refusal.kind, hub.refusal.status, hub.refusal.code)
            return self._listing(found[1], found[2], "blobs" in parts.query)
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", path)
        files = hub.commits.get((found[1], found[2]), {}) if found else {}
        if path.startswith("/cdn/"):
            name = path.rpartition("/")[2]
            return self._send(hub.cdn[path], "application/octet-stream", etag='"cdn"', cut=hub.cut.pop(name, None))
        if not found or found[3] not in files:
            return self._send(b"no", "text/plain", 404, "EntryNotFound")
        name, contents = found[3], hub.altered.get(found[3], files[found[3]])
        if name.endswith(LARGE):
            place = f"/cdn/{found[2]}/{name}"
            hub.cdn[place] = contents
            self.send_response(302)
            self.send_header("Location", f"{hub.address}{place}?signature=abc")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self._send(contents, "text/html" if contents == HTML else "text/plain", etag=f'"{blob_id(contents)}"')

    def _listing(self, repo: str, revision: str, blobs: bool) -> None:
        hub = self.server
        commit = hub.branches.get((repo, revision), revision)
        if not any(known == repo for known, _ in hub.commits):
            return self._send(b'{"error": "Repository not found"}', "application/json", 401, "RepoNotFound")
        if (repo, commit) not in hub.commits:
            return self._send(b'{"error": "Invalid rev id"}', "application/json", 404, "RevisionNotFound")
        siblings: list[dict[str, object]] = []
        for name, contents in hub.commits[repo, commit].items():
            entry: dict[str, object] = {"rfilename": name}
            if blobs:
                entry |= {"size": len(contents), "blobId": blob_id(contents)}
                if name.endswith(LARGE):
                    entry["lfs"] = {"sha256": sha256(contents), "size": len(contents), "pointerSize": 134}
            siblings.append(entry)
        answer = {"id": repo, "sha": commit, "gated": hub.gated, "private": False, "tags": [], "siblings": siblings}
        self._send(json.dumps(answer).encode(), "application/json; charset=utf-8")

    def _send(
        self, body: bytes, kind: str, status: int = 200, code: str = "", etag: str = "", cut: int | None = None
    ) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and status == 200:
            self.server.resumed_at.append(int(wanted[1]))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {wanted[1]}-{len(body) - 1}/{len(body)}")
            body = body[int(wanted[1]) :]
        else:
            self.send_response(status)
        for header, value in (("Content-Type", kind), ("X-Error-Code", code), ("ETag", etag)):
            if value:
                self.send_header(header, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = cut is not None


class FakeHub(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.commits: dict[tuple[str, str], dict[str, bytes]] = {}
        self.branches: dict[tuple[str, str], str] = {}
        self.altered: dict[str, bytes] = {}
        self.cdn: dict[str, bytes] = {}
        self.cut: dict[str, int] = {}
        self.gated: bool | str = False
        self.refusal: Refusal | None = None
        self.asked: list[str] = []
        self.resumed_at: list[int] = []

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    def publish(self, files: dict[str, bytes], repo: str = REPO, commit: str = FIRST, branch: str = "main") -> None:
        self.commits[repo, commit] = {".gitattributes": b"*.bin filter=lfs\n", "README.md": b"# tiny\n", **files}
        self.branches[repo, branch] = commit


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("LAYERMAP_WEIGHTS_LOCK", str(tmp_path / "weights.lock.json"))
    monkeypatch.delenv("LAYERMAP_MIRROR", raising=False)
    server = FakeHub()
    monkeypatch.setenv("HF_ENDPOINT", server.address + "/")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def network():
    """A vision transformer with 5,632 drawn weights."""
    import torch
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(3)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return ViTModel(ViTConfig(**sizes, image_size=8, patch_size=4))


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, bytes]]:
    """The files that transformers (and its older versions) save a network in, by layout."""
    import torch
    from transformers import ViTImageProcessor

    def contents(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    top = tmp_path_factory.mktemp("saved")
    network.save_pretrained(top / "one")
    ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(top / "one")
    network.save_pretrained(top / "shards", max_shard_size="8KB")
    layouts = {"one": contents(top / "one"), "shards": contents(top / "shards")}
    config = {"config.json": layouts["one"]["config.json"]}
    torch.save(network.state_dict(), top / "pytorch_model.bin")
    layouts["checkpoint"] = {**config, "pytorch_model.bin": (top / "pytorch_model.bin").read_bytes()}
    weight_map, shards = {}, {}
    for number, names in enumerate((list(network.state_dict())[::2], list(network.state_dict())[1::2]), start=1):
        shard = f"pytorch_model-0000{number}-of-00002.bin"
        torch.save({name: network.state_dict()[name] for name in names}, top / shard)
        shards[shard] = (top / shard).read_bytes()
        weight_map |= dict.fromkeys(names, shard)
    index = json.dumps({"metadata": {"total_size": 22528}, "weight_map": weight_map}).encode()
    layouts["checkpoint_shards"] = {**config, **shards, "pytorch_model.bin.index.json": index}
    return lambda layout: dict(layouts[layout])


def pin(revision: str = "main", repo: str = REPO, mirror: Mirror | None = None) -> pins.Pin:
    made = hub.ask(repo, revision, mirror)
    pins.write_pin(made)
    return made


def fetch(folder: Path, mirror: Mirror | None = None, **options: object) -> Path:
    run_fetch_weights(REPO, pins.weight_source(REPO), folder, mirror=mirror, **options)  # type: ignore[arg-type]
    return folder / "tiny--vit"


def assert_loads_as(folder: Path, network) -> None:
    import torch
    from transformers import AutoModel

    loaded, about = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not about["missing_keys"] and not about["unexpected_keys"]
    expected = network.state_dict()
    assert list(loaded.state_dict()) == list(expected)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pinned_fetched_and_loaded_without_a_changed_bit(fake_hub, saved, network, tmp_path, layout) -> None:
    fake_hub.publish(saved(layout))
    made = pin()
    assert made.revision == FIRST
    assert {file.name: (file.bytes, file.sha256) for file in made.files} == {
        name: (len(contents), sha256(contents)) for name, contents in saved(layout).items()
    }
    assert not any(path.startswith("/cdn/") for path in fake_hub.asked), "weights are not downloaded to be pinned"
    fake_hub.publish({"config.json": b"{}"}, commit=SECOND)  # the branch moves on, the pin stays
    folder = fetch(tmp_path / "weights")
    assert_loads_as(folder, network)
    beside = {"preprocessor_config.json"} if layout == "one" else set()
    expected = {"config.json", "model.safetensors", "receipt.json"} | beside
    assert {path.name for path in folder.iterdir()} == expected, "neither shards nor index are left"
    receipt = open_receipt(folder / "receipt.json")
    assert receipt.key == weights_key(pins.weight_source(REPO))
    assert receipt.files[0].url.startswith(f"https://huggingface.co/{REPO}/resolve/{FIRST}/")
    n_asked = len(fake_hub.asked)
    fetch(tmp_path / "weights")
    assert len(fake_hub.asked) == n_asked, "what is there is not asked for again"


def test_the_official_client_reads_the_same(fake_hub, saved, monkeypatch) -> None:
    from huggingface_hub import HfApi, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # stages that ran in this process keep it offline
    fake_hub.publish(saved("one"))
    official = HfApi(endpoint=fake_hub.address).model_info(REPO, revision="main", files_metadata=True)
    made = hub.ask(REPO)
    assert made.revision == official.sha
    sizes = {sibling.rfilename: sibling.size for sibling in official.siblings}
    digests = {sibling.rfilename: sibling.lfs.sha256 for sibling in official.siblings if sibling.lfs}
    assert {file.name: file.bytes for file in made.files}.items() <= sizes.items()
    assert digests and digests.items() <= {file.name: file.sha256 for file in made.files}.items()


def test_safetensors_are_preferred_and_code_is_never_asked_for(fake_hub, saved) -> None:
    wanted = {**saved("one"), "tokenizer.json": b"{}", "merges.txt": b"#version: 0.2\n"}
    config = json.loads(wanted["config.json"]) | {"auto_map": {"AutoModel": "modeling_tiny.TinyModel"}}
    wanted["config.json"] = json.dumps(config).encode()
    others = dict.fromkeys(("modeling_tiny.py", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx"), b"x")
    fake_hub.publish({**saved("checkpoint"), **saved("shards"), **others, **wanted})
    assert {file.name for file in pin().files} == set(wanted)
    unwanted = {*others, "pytorch_model.bin", "model.safetensors.index.json", "README.md"}
    assert not [path for path in fake_hub.asked for name in unwanted if path.endswith(f"/{name}")]


def test_mirrors_give_the_same_bytes(fake_hub, saved, network, tmp_path, monkeypatch) -> None:
    fake_hub.publish(saved("shards"))
    copies = tmp_path / "mirror" / "huggingface.co" / REPO / "resolve" / FIRST
    copies.mkdir(parents=True)
    for name, contents in saved("shards").items():
        (copies / name).write_bytes(contents)
    direct = pin()
    first = fetch(tmp_path / "direct")
    monkeypatch.setenv("HF_ENDPOINT", closed_port())
    prefix = Mirror(prefix=f"{fake_hub.address}/mirror")
    assert pin(mirror=prefix) == direct
    second = fetch(tmp_path / "prefix", prefix)
    third = fetch(tmp_path / "folder", Mirror(folder=tmp_path / "mirror"))
    for folder in (second, third):
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
            path.name: path.read_bytes() for path in first.iterdir()
        }
    assert_loads_as(third, network)


def test_what_a_mirror_has_not_comes_from_the_hub(fake_hub, saved, tmp_path) -> None:
    fake_hub.publish(saved("one"))
    (tmp_path / "empty").mkdir()
    assert hub.ask(REPO, mirror=Mirror(folder=tmp_path / "empty")) == hub.ask(REPO)
    assert hub.ask(REPO, mirror=Mirror(prefix=f"{fake_hub.address}/elsewhere")) == hub.ask(REPO)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_key_changes_with_every_file(fake_hub, saved, layout) -> None:
    fake_hub.publish(saved(layout))
    made = pin()
    keys = {weights_key(pins.weight_source(REPO))}
    for changed in made.files:
        files = tuple(file.model_copy(update={"sha256": "0" * 64}) if file == changed else file for file in made.files)
        pins.write_pin(made.model_copy(update={"files": files}))
        keys.add(weights_key(pins.weight_source(REPO)))
    assert len(keys) == 1 + len(made.files)
    pins.write_pin(made.model_copy(update={"revision": SECOND}))
    assert weights_key(pins.weight_source(REPO)) in keys, "the same bytes at another commit are the same weights"


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refusal(401, "GatedRepo"), ("gated", "--mirror", f"https://huggingface.co/{REPO}")),
        (Refusal(403, "GatedRepo"), ("gated", "accept")),
        (Refusal(401, "RepoNotFound"), ("no public model 'tiny/vit'", "401", "check its name")),
        (Refusal(404), ("no public model 'tiny/vit'", "404", "check its name")),
        (Refusal(404, "RevisionNotFound"), ("no revision 'main'", "commits/main")),
        (Refusal(429), ("429", "few minutes")),
        (Refusal(503), ("503", "3 attempts", "HF_ENDPOINT", "--mirror")),
        (Refusal(200, body=HTML, kind="text/html"), ("HTML page", "HF_ENDPOINT")),
        (Refusal(200, body=b"[1, 2", kind="application/json"), ("not JSON", "HF_ENDPOINT")),
        (Refusal(200, body=b'{"id": "tiny/vit"}', kind="application/json"), ("sha", "HF_ENDPOINT")),
        (Refusal(200, body=b'{"sha": "main", "siblings": []}', kind="application/json"), ("sha",)),
        (Refusal(200, body=b"[]", kind="application/json"), ("does not answer as the hub does",)),
        (
            Refusal(200, body=b'{"sha": 1, "sha": 2}', kind="application/json"),
            ("(it, line 1, has the key 'sha' twice);",),
        ),
    ],
)
def test_a_hub_that_refuses_is_one_line_with_a_remedy(fake_hub, saved, refusal, words) -> None:
    fake_hub.publish(saved("one"))
    fake_hub.refusal = refusal
    with pytest.raises(FetchError) as error:
        hub.ask(REPO, settings=hub.SETTINGS.model_copy(update={"back_off_s": 0.01}))
    assert [word for word in words if word not in str(error.value)] == []
    assert "\n" not in str(error.value)


def test_repositories_that_cannot_be_used(fake_hub, saved) -> None:
    one = saved("one")
    fake_hub.publish({"config.json": b"{}", "tf_model.h5": b"x"}, commit="a" * 40, branch="tf")
    fake_hub.publish({"config.json": b"{}"}, commit="b" * 40, branch="nothing")
    fake_hub.publish({"model.safetensors": one["model.safetensors"]}, commit="c" * 40, branch="bare")
    shards = {name: contents for name, contents in saved("shards").items() if "00002-of" not in name}
    fake_hub.publish(shards, commit="d" * 40, branch="half")
    for branch, words in (
        ("tf", r"neither model\.safetensors nor .*tf_model\.h5"),
        ("nothing", "no weights at all"),
        ("bare", r"no config\.json"),
        ("half", "names model-00002-of"),
        ("gone", "no revision 'gone'"),
    ):
        with pytest.raises(FetchError, match=words):
            hub.ask(REPO, branch)
    fake_hub.publish(one)
    fake_hub.gated = "manual"
    with pytest.raises(FetchError, match="is gated"):
        hub.ask(REPO)
    for name in ("dinov2-base", "a/b/c", "../x", "org/..", "org/a--b", "org/a b", ""):
        with pytest.raises(BadConfiguration, match="OWNER/NAME"):
            hub.ask(name)


def test_nobody_answers(fake_hub, monkeypatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", closed_port())
    with pytest.raises(FetchError, match=r"cannot be reached \(connection refused\).*where there is a network"):
        hub.ask(REPO, settings=hub.SETTINGS.model_copy(update={"back_off_s": 0.01}))
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    with pytest.raises(FetchError, match="HF_ENDPOINT"):
        hub.ask(REPO)


@pytest.mark.parametrize("body", [b'{"model_type": "vit"}', HTML])
def test_a_small_file_that_is_not_what_git_says_is_not_pinned(fake_hub, saved, tmp_path, body) -> None:
    files = saved("one")
    fake_hub.publish(files)
    fake_hub.altered["config.json"] = files["config.json"].replace(b"16", b"61") if body != HTML else body
    with pytest.raises(FetchError, match=r"config\.json"):
        pin()
    assert not (tmp_path / "weights.lock.json").exists()


def flipped(contents: bytes) -> bytes:
    return contents[:-1] + bytes([contents[-1] ^ 1])


@pytest.mark.parametrize(
    ("layout", "name", "alter", "words"),
    [
        ("one", "model.safetensors", flipped, "sha256"),
        ("one", "model.safetensors", lambda contents: contents[:-5], "bytes"),
        ("one", "model.safetensors", lambda contents: contents + b"\0", "bytes"),
        ("one", "config.json", lambda contents: HTML, "HTML"),
        ("one", "config.json", flipped, "sha256"),
        ("shards", "model-00002-of-00003.safetensors", flipped, "sha256"),
        ("shards", "model-00002-of-00003.safetensors", lambda contents: contents[:-5], "bytes"),
        ("shards", "model.safetensors.index.json", flipped, "sha256"),
        ("checkpoint", "pytorch_model.bin", flipped, "sha256"),
    ],
)
def test_other_bytes_than_those_pinned_are_refused(fake_hub, saved, settings, tmp_path, layout, name, alter, words):
    fake_hub.publish(saved(layout))
    pin()
    fake_hub.altered[name] = alter(saved(layout)[name])
    with pytest.raises(FetchError, match=words) as error:
        fetch(tmp_path / "weights", settings=settings)
    assert name in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "weights" / "tiny--vit").exists()
    fake_hub.altered.clear()
    fetch(tmp_path / "weights", settings=settings)


def test_a_connection_that_breaks_is_resumed_behind_the_redirect(fake_hub, saved, network, settings, tmp_path) -> None:
    fake_hub.publish(saved("one"))
    pin()
    fake_hub.cut["model.safetensors"] = 7_000
    assert_loads_as(fetch(tmp_path / "weights", settings=settings), network)
    assert fake_hub.resumed_at == [7_000]


class Intruder:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


def test_a_checkpoint_that_asks_for_a_command_is_refused(fake_hub, saved, settings, tmp_path) -> None:
    trap = tmp_path / "intruded"
    fake_hub.publish({**saved("checkpoint"), "pytorch_model.bin": pickle.dumps({"weight": Intruder(str(trap))}, 2)})
    pin()
    with pytest.raises(LayermapError, match=r"asks for posix\.system"):
        fetch(tmp_path / "weights", settings=settings)
    assert not trap.exists()
    assert not (tmp_path / "weights" / "tiny--vit").exists()


def run_pipeline(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_writes_the_lock_file_that_fetch_follows(fake_hub, saved, network, settings, tmp_path) -> None:
    files = saved("one")
    fake_hub.publish(files)
    fake_hub.publish(saved("checkpoint"), repo="tiny/other")
    done = run_pipeline("pin", REPO, "tiny/other")
    assert (done.returncode, done.stderr) == (0, "")
    size = sum(map(len, files.values()))
    lines = done.stdout.splitlines()
    assert lines[0] == f"{REPO}: revision {FIRST}, {len(files)} files, {size / 1000:.1f} kB"
    assert lines[1].startswith(f"tiny/other: revision {FIRST}, 2 files, ")
    lock = json.loads((tmp_path / "weights.lock.json").read_text())
    assert list(lock) == ["tiny/other", "tiny/vit"]
    assert lock[REPO] == {
        "revision": FIRST,
        "files": [{"name": name, "bytes": len(files[name]), "sha256": sha256(files[name])} for name in sorted(files)],
        "config": json.loads(files["config.json"]),
        "preprocessor": json.loads(files["preprocessor_config.json"]),
    }
    assert_loads_as(fetch(tmp_path / "weights", settings=settings), network)
    fake_hub.publish(saved("shards"), commit=SECOND, branch="v2")
    again = run_pipeline("pin", REPO, "--revision", "v2")
    assert f"revision {SECOND}, 5 files" in again.stdout
    assert again.stdout.endswith(f"(before: revision {FIRST})\n")
    after = json.loads((tmp_path / "weights.lock.json").read_text())
    assert after["tiny/other"] == lock["tiny/other"] and after[REPO]["revision"] == SECOND
    assert_loads_as(fetch(tmp_path / "weights", settings=settings), network)
    assert run_pipeline("pin", REPO, "--revision", "v2").stdout == again.stdout.partition(" (before")[0] + "\n"


def test_the_command_fails_in_one_line(fake_hub, saved, tmp_path) -> None:
    fake_hub.publish(saved("one"))
    for arguments, words in (
        (("tiny/gone",), "no public model 'tiny/gone'"),
        ((REPO, "--revision", "nowhere"), "no revision 'nowhere'"),
        (("dinov9",), "unknown model 'dinov9'"),
        (("pixels",), "model 'pixels' has no name on the Hugging Face hub"),
    ):
        done = run_pipeline("pin", *arguments)
        assert done.returncode == 1
        assert words in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "weights.lock.json").exists()
