"""Answers of servers are strict JSON of a bounded size; what is none is said in half a sentence."""

import json

import pytest

from pipeline.fetch.http.lists import NoAnswer, ask, json_at
from pipeline.fetch.http.settings import FetchSettings
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


def test_pauses_before_a_list_is_asked_for_again(server, monkeypatch):
    pauses = []
    monkeypatch.setattr("pipeline.fetch.http.lists.BACK_OFF_S", 1.0)
    monkeypatch.setattr("pipeline.fetch.http.lists.time.sleep", pauses.append)
    with pytest.raises(NoAnswer, match="cut short"):
        answer(server, b'{"files": [{"na')
    assert pauses == [1, 2, 4]


def test_pauses_of_a_download_double_up_to_the_longest_give_or_take_half():
    patience, pauses, asked = FetchSettings(retries=8).patience, [], []
    while (left := patience.after(TimeoutError())) is not None:
        patience = left
        pauses.append(patience.pause_s())
        asked.append(patience.pause_s(asked_s=1e9))
    expected = [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(pauses) == len(expected)
    assert all(0.5 * one <= pause <= 1.5 * one for one, pause in zip(expected, pauses, strict=True))
    assert asked == [300] * 8
