"""Nobody's credentials leave the machine, redirects lead nowhere they should not, and texts have an end."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pipeline.core.errors import FetchError
from pipeline.fetch.download import download
from pipeline.fetch.http import lists
from pipeline.fetch.http.addresses import is_public, redirected
from pipeline.fetch.http.sessions import MOST_REDIRECTS, AnonymousSession, RefusedAnswer, ask_text
from pipeline.fetch.http.settings import FetchSettings
from pipeline.fetch.mirror import Mirror
from pipeline.fetch.weights.hub import ask as ask_hub
from pipeline.recordings.openneuro.listings import ask_graphql, read_git_tree
from tests.http_server import HOST, HonestServer, raw_answer, running

NETRC = "machine 127.0.0.1 login someone password secret\ndefault login someone password secret\n"
PUBLIC = "open.example.invalid"  # reached through a proxy only
ANSWER = {"success": True}


@pytest.fixture(autouse=True)
def netrc(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text(NETRC)
    (home / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / ".netrc"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def other() -> Iterator[HonestServer]:
    """Another server on this machine, with what only this machine should see."""
    with running(HonestServer()) as other:
        yield other


def get(url: str) -> requests.Response:
    with AnonymousSession() as session:
        return session.get(url, timeout=5)


class TestCredentials:
    def test_netrc_is_there_to_be_found(self, server) -> None:
        """What the tests below are about: requests itself would send the password."""
        served = server.serve("a", b"x")
        requests.get(f"{server.prefix}/{HOST}/a", timeout=5)
        assert "Authorization" in served.requests[0]

    def test_a_download_sends_none_at_its_first_address_nor_behind_a_redirect(
        self, server, settings, pinned, tmp_path: Path
    ) -> None:
        first = server.serve("a", b"", location=f"/{HOST}/b")
        second = server.serve("b", b"x")
        download(pinned("a", b"x"), tmp_path / "a", mirror=server.mirror, settings=settings)
        for served in (first, second):
            assert len(served.requests) == 1
            assert "Authorization" not in served.requests[0]

    def test_questions_send_none(self, server) -> None:
        served = server.serve("a", json.dumps(ANSWER).encode())
        assert lists.ask(lists.json_at, [f"{server.prefix}/{HOST}/a"]) == ANSWER
        lists.sizes_of([f"https://{HOST}/a"], server.prefix)
        assert len(served.requests) == 1
        assert "Authorization" not in served.requests[0]

    def test_what_the_mirror_is_given_with_goes_to_the_mirror(self, server, settings, pinned, tmp_path: Path) -> None:
        first = server.serve("a", b"", location=f"{server.prefix}/{HOST}/b")
        second = server.serve("b", b"x")
        mirror = Mirror(prefix=server.prefix.replace("://", "://me:word@"))
        download(pinned("a", b"x"), tmp_path / "a", mirror=mirror, settings=settings)
        basic = "Basic " + base64.b64encode(b"me:word").decode()
        assert [served.requests[0]["Authorization"] for served in (first, second)] == [basic] * 2


class TestEnvironment:
    def test_a_proxy_is_used_and_spared_where_the_environment_says_so(self, server, other, monkeypatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", server.prefix)
        monkeypatch.setenv("http_proxy", server.prefix)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        seen = server.serve("", b"")
        server.files[f"http://{PUBLIC}/a"] = seen
        seen.body = b"through the proxy"
        assert get(f"http://{PUBLIC}/a").content == b"through the proxy"
        assert "Authorization" not in seen.requests[0]
        other.serve("a", b"directly")
        assert get(f"{other.prefix}/{HOST}/a").content == b"directly"

    def test_certificates_come_from_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        made = subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key)),
                *("-out", str(certificate)),
            ],
            capture_output=True,
            check=False,
        )
        if made.returncode:
            pytest.skip("no openssl to make a certificate with")
        server = HonestServer()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        monkeypatch.setenv("NO_PROXY", "*")
        with running(server):
            server.serve("a", b"x")
            url = f"{server.prefix.replace('http:', 'https:')}/{HOST}/a"
            with pytest.raises(requests.exceptions.SSLError):
                get(url)
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
            assert get(url).content == b"x"


class TestRedirects:
    @pytest.mark.parametrize(
        ("asked", "location", "to"),
        [
            ("http://10.0.0.5:8080/a", "/b?c=%2B", "http://10.0.0.5:8080/b?c=%2B"),
            ("http://127.0.0.1:8000/a/b", "c", "http://127.0.0.1:8000/a/c"),
            ("http://127.0.0.1:8000/a", "http://127.0.0.1:8000/c", "http://127.0.0.1:8000/c"),
            ("http://10.0.0.5/a", "https://10.0.0.5/a", "https://10.0.0.5/a"),
            ("http://open.invalid/a", "http://open.invalid:80/b", "http://open.invalid/b"),
            ("https://open.invalid/a", "https://store.invalid/b?signature=x", "https://store.invalid/b?signature=x"),
            ("https://open.invalid/a", "//store.invalid/b", "https://store.invalid/b"),
            ("http://open.invalid/a", "http://store.invalid/b", "https://store.invalid/b"),
            ("https://open.invalid/a", "http://store.invalid:80/b", "https://store.invalid/b"),
            ("https://open.invalid/a", "https://8.8.8.8/b", "https://8.8.8.8/b"),
            ("https://open.invalid/a", "https://198.18.0.7/b", "https://198.18.0.7/b"),
            ("https://open.invalid/a", "https://[64:ff9b::808:808]/b", "https://[64:ff9b::808:808]/b"),
            ("https://open.invalid/a", "https://[2001:4860:4860::8888]/b", "https://[2001:4860:4860::8888]/b"),
            ("http://me:word@10.0.0.5/a", "/b", "http://me:word@10.0.0.5/b"),
            ("http://me:word@10.0.0.5/a", "https://store.invalid/b", "https://store.invalid/b"),
        ],
    )
    def test_where_they_may_lead(self, asked: str, location: str, to: str) -> None:
        assert redirected(asked, location) == to

    @pytest.mark.parametrize(
        "host",
        [
            *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "LOCALHOST", "a.localhost"),
            *("0.0.0.0", "0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1"),
            *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:10.0.0.1]", "[fe80::1]"),
            *("[fd00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::1]", "[::127.0.0.1]", "[ff02::1]", "240.0.0.1"),
        ],
    )
    @pytest.mark.parametrize("asked", ["https://open.invalid/a", "http://10.0.0.5:8000/a", "http://127.0.0.9/a"])
    def test_never_to_this_machine_or_a_network_of_its_own(self, host: str, asked: str) -> None:
        for scheme, port in (("https", ""), ("http", ""), ("https", ":8443"), ("http", ":6379")):
            with pytest.raises(FetchError, match="this machine or in a network of its own") as error:
                redirected(asked, f"{scheme}://{host}{port}/b")
            assert "\n" not in str(error.value)

    def test_names_are_looked_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Any of the addresses of a name is enough."""
        import socket

        def two(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
            numbers = {"rebound.example": ("8.8.8.8", "127.0.0.1"), "scoped.example": ("fe80::1%eth0",)}[host]
            return [(0, 0, 0, "", (number, 0)) for number in numbers]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        assert not is_public("rebound.example")
        assert not is_public("scoped.example")

    @pytest.mark.parametrize(
        ("asked", "location"),
        [
            ("https://open.invalid/a", "http://store.invalid:8080/b"),
            ("https://open.invalid/a", "http://open.invalid:8080/b"),
            ("http://127.0.0.1:8000/a", "http://127.0.0.1:6379/b"),
            ("https://open.invalid/a", "https://me:word@store.invalid/b"),
            ("https://open.invalid/a", "https://open.invalid@127.0.0.1/b"),
            ("https://open.invalid/a", "file:///etc/passwd"),
            ("https://open.invalid/a", "ftp://store.invalid/b"),
            ("https://open.invalid/a", "gopher://127.0.0.1/b"),
            ("https://open.invalid/a", "https://[::1/b"),
            ("https://open.invalid/a", "https://store.invalid\\@127.0.0.1/b"),
            ("https://open.invalid/a", "https://store.invalid:99999/b"),
            ("https://open.invalid/a", "https://127。0。0。1/b"),
        ],
    )
    def test_what_is_no_https_address_is_not_followed(self, asked: str, location: str) -> None:
        with pytest.raises(FetchError) as error:
            redirected(asked, location)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
    def test_another_server_on_this_machine_sees_no_request(
        self, server, other, settings, pinned, tmp_path: Path, name: str
    ) -> None:
        secret = other.serve("a", b"secret")
        server.serve("a", b"", location=f"http://{name}:{other.server_address[1]}/{HOST}/a")
        with pytest.raises(FetchError, match="it leads to ") as error:
            download(pinned("a", b"secret"), tmp_path / "a", mirror=server.mirror, settings=settings)
        assert "\n" not in str(error.value)
        assert secret.requests == []
        assert list(tmp_path.iterdir()) == []

    def test_a_public_server_cannot_lead_to_this_machine(self, server, other, monkeypatch) -> None:
        monkeypatch.setenv("http_proxy", server.prefix)
        secret = other.serve("a", b"secret")
        served = server.serve("", b"", location=f"{other.prefix}/{HOST}/a")
        server.files[f"http://{PUBLIC}/a"] = served
        with pytest.raises(RefusedAnswer, match="this machine"):
            get(f"http://{PUBLIC}/a")
        assert len(served.requests) == 1
        assert secret.requests == []

    def test_circles_end(self, server) -> None:
        served = server.serve("a", b"", location=f"/{HOST}/a")
        with pytest.raises(RefusedAnswer, match=f"more than {MOST_REDIRECTS} times"):
            get(f"{server.prefix}/{HOST}/a")
        assert len(served.requests) == MOST_REDIRECTS + 1

    def test_git_follows_none(self, server, other) -> None:
        """git has connections of its own."""
        listing = "OpenNeuroDatasets/ds000001/info/refs?service=git-upload-pack"
        secret = other.serve("a", b"secret")
        server.files[listing] = served = server.serve("", b"", location=f"{other.prefix}/{HOST}/a")
        with pytest.raises(lists.NoAnswer):
            read_git_tree("ds000001", "1.0.0", server.prefix)
        assert len(served.requests) > 0
        assert "Authorization" not in served.requests[0]
        assert secret.requests == []


class TestTexts:
    def test_a_text_without_end_is_given_up(self, server) -> None:
        served = server.serve("a", b"")
        served.raw[0] = raw_answer("200 OK", "Transfer-Encoding: chunked")
        served.endless = b"%x\r\n%s\r\n" % (65536, b" " * 65536)
        with pytest.raises(RefusedAnswer, match="more than 1000000 bytes"):
            ask_text("GET", f"{server.prefix}/{HOST}/a", silence_s=5, most_bytes=1_000_000)

    def test_a_text_that_trickles_is_given_up(self, server) -> None:
        server.serve("a", b" " * 200_000, bytes_per_s=100_000)
        with pytest.raises(RefusedAnswer, match=r"took more than 0\.2 s"):
            ask_text("GET", f"{server.prefix}/{HOST}/a", silence_s=5, longest_s=0.2)

    def test_a_packed_text_counts_unpacked(self, server) -> None:
        import gzip

        server.serve("a", gzip.compress(bytes(50_000_000)), encoding="gzip")
        with pytest.raises(RefusedAnswer, match="more than 1000000 bytes"):
            ask_text("GET", f"{server.prefix}/{HOST}/a", silence_s=5, most_bytes=1_000_000)

    @pytest.mark.parametrize("way", ["json", "graphql", "hub"])
    def test_every_question_has_its_limit(self, server, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
        monkeypatch.setattr("pipeline.fetch.http.sessions.MOST_TEXT_BYTES", 1000)
        monkeypatch.setattr("pipeline.fetch.weights.hub.MOST_TEXT_BYTES", 1000)
        monkeypatch.setenv("HF_ENDPOINT", server.prefix)
        long = server.serve("a", b"[" + b" " * 5000 + b"]")
        for path in (f"{HOST}/a", "crn/graphql", "api/models/a/b/revision/main?blobs=true"):
            server.files[path] = long
        questions = {
            "json": lambda: lists.ask(lists.json_at, [f"{server.prefix}/{HOST}/a"]),
            "graphql": lambda: lists.ask(lambda base: ask_graphql("ds000001", "1.0.0", base), [server.prefix]),
            "hub": lambda: ask_hub("a/b", settings=FetchSettings(retries=0)),
        }
        with pytest.raises((lists.NoAnswer, FetchError), match=r"more than .*1000"):
            questions[way]()

    def test_allens_own_queries_have_it_too(self, server, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("allensdk")
        from pipeline.recordings.allen.sdk import observatory_api_class

        api = observatory_api_class()(base_uri=server.prefix)
        served = server.serve("a", json.dumps(ANSWER).encode())
        assert api.retrieve_parsed_json_over_http(f"{server.prefix}/{HOST}/a") == ANSWER
        assert "Authorization" not in served.requests[0]
        monkeypatch.setattr("pipeline.recordings.allen.sdk.MOST_ANSWER_BYTES", 5)
        with pytest.raises(RefusedAnswer, match="more than 5 bytes"):
            api.retrieve_parsed_json_over_http(f"{server.prefix}/{HOST}/a")

    def test_deep_json_is_no_answer(self, server) -> None:
        server.serve("a", b"[" * 100_000)
        with pytest.raises(lists.NoAnswer, match="levels deep"):
            lists.ask(lists.json_at, [f"{server.prefix}/{HOST}/a"])

    def test_a_silent_server_is_told_from_one_that_is_not_there(self, server, monkeypatch) -> None:
        monkeypatch.setattr(lists, "SILENCE_S", 0.2)
        monkeypatch.setattr(lists, "TRIES", 1)
        server.serve("a", b"x" * 100, stall_each=[10])
        with pytest.raises(lists.NoAnswer, match=r"silent for 0\.2 s"):
            lists.ask(lists.json_at, [f"{server.prefix}/{HOST}/a"])
