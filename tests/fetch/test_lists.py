"""Answers of servers are strict JSON of a bounded size; what is none is said in half a sentence."""

import json

import pytest

from pipeline.fetch.http.lists import NoAnswer, ask, json_at
from tests.http_server import HOST, HonestServer, running


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("pipeline.fetch.http.lists.BACK_OFF_S", 0.0)
    with running(HonestServer()) as serving:
        yield serving


def answer(server, body, **behaviour):
    server.serve("list.json", body, **behaviour)
    return ask(lambda base: json_at(f"{base}/{HOST}/list.json"), [server.prefix])


def test_an_answer_is_read(server):
    rows = [{"name": f"sub-{number}", "size": number} for number in range(50_000)]
    assert answer(server, json.dumps(rows).encode()) == rows
    assert answer(server, b'{"a": "\xc3\xa9"}', chunked=True) == {"a": "é"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"files": [{"na', "its JSON is cut short"),
        (b"<!DOCTYPE html><html>busy</html>", "an HTML page, not JSON"),
        (b"[" * 300_000, "its JSON is over 50 levels deep"),
        (b'{"id": 1, "id": 2}', "has the key 'id' twice"),
        (b'{"size": NaN}', "holds NaN"),
        (b'{"name": "\\ud800"}', "lone surrogate"),
        (b'{"name": "\xff"}', "is not UTF-8"),
    ],
)
def test_what_is_no_answer(server, body, words):
    with pytest.raises(NoAnswer, match=words):
        answer(server, body)


def test_an_answer_without_end(server, monkeypatch):
    monkeypatch.setattr("pipeline.fetch.http.sessions.MOST_TEXT_BYTES", 3_000_000)
    with pytest.raises(NoAnswer, match="has more than 3000000 bytes"):
        answer(server, b"[" + b" " * 20_000_000)
