"""The one door for JSON and YAML: what each kind of value gives, and what is refused, in one line."""

import codecs
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipeline.core.code_version import ROOT
from pipeline.core.errors import BadConfiguration, BrokenArtifact, FetchError, LayermapError
from pipeline.core.limits import DOCUMENT_DEPTH, YAML_BYTES
from pipeline.formats.documents import parse_json, read_json, read_object, read_yaml
from pipeline.formats.yaml_text import parse_yaml

SHIPPED = [*ROOT.glob("workflows/**/*.yaml"), *ROOT.glob("examples/**/*.yaml"), *ROOT.glob("pipeline/**/*.yaml")]


def refused_yaml(text):
    with pytest.raises(BadConfiguration) as caught:
        parse_yaml(text, "s.yaml")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("s.yaml")
    return str(caught.value)


def refused_json(text, **how):
    with pytest.raises(BrokenArtifact) as caught:
        parse_json(text, "s.json", "fetch it again", **how)
    assert "\n" not in str(caught.value) and str(caught.value).endswith("; fetch it again")
    return str(caught.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_is_shipped_reads_as_before(path):
    assert len(SHIPPED) > 15
    assert repr(read_yaml(path)) == repr(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", 1),
        ("a: -12", -12),
        ("a: 0.5", 0.5),
        ("a: 1e3", 1000.0),  # YAML 1.1 has text here
        ("a: 1e-2", 0.01),
        ("a: true", True),
        ("a: False", False),
        ("a: null", None),
        ("a: ~", None),
        ("a:", None),
        ("a: ''", ""),
        ("a: 'no'", "no"),
        ("a: '010'", "010"),
        ("a: !!str 010", "010"),
        ("a: 2020-01-01", "2020-01-01"),
        ("a: 1.0.10", "1.0.10"),
        ("a: y", "y"),
        ("a: >\n  b\n  c\n", "b c\n"),
        ("a: [1, {b: 2}]", [1, {"b": 2}]),
    ],
)
def test_what_a_value_gives(text, value):
    found = parse_yaml(text, "s.yaml")["a"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("key", ["1", "010", "1_000", "on", "no", "null", "~", "2020-01-01", "1.5", "="])
def test_keys_are_text_as_they_are_written(key):
    assert parse_yaml(f"{key}: x", "s.yaml") == {key: "x"}


@pytest.mark.parametrize("text", ["yes", "No", "ON", "off", "010", "-007", "08", "0x1F", "0o17", "0b11", "1_000"])
@pytest.mark.parametrize("place", ["a: {}", "a: [b, {}]"])
def test_values_that_readers_take_differently_are_refused_with_their_line(text, place):
    message = refused_yaml(f"b: 1\n{place.replace('{}', text)}\n")
    assert "line 2: " in message and f"'{text}'" in message and "quotes" in message


@pytest.mark.parametrize("text", ["1:30", "12:30:45", ".inf", "-.Inf", ".nan", "1e999", "9" * 200])
def test_numbers_that_no_option_takes(text):
    assert "s.yaml, line 1: " in refused_yaml(f"a: {text}")


def test_a_key_twice_is_named_with_both_lines():
    assert refused_yaml("a: 1\nb: 2\na: 3\n") == "s.yaml, line 3: the key 'a' stands twice, first in line 1; keep one"
    assert "line 3: the key 'n' stands twice, first in line 2" in refused_yaml("x:\n  n: 1\n  'n': 2\n")
    assert "stands twice" in refused_yaml("a: {b: 1, b: 2}")
    assert "stands twice" in refused_yaml("\u00e9: 1\ne\u0301: 2\n")  # one é, composed or not


def test_the_same_key_in_two_mappings_is_no_repetition():
    assert parse_yaml("a: {n: 1}\nb: {n: 1}\n", "s.yaml") == {"a": {"n": 1}, "b": {"n": 1}}


def test_anchors_and_merge_keys():
    text = "a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\nc: *x\nd: {<<: [{k: 7}, {k: 8, m: 9}]}\n"
    found = parse_yaml(text, "s.yaml")
    assert found["b"] == {"k": 1, "l": 3} and found["c"] == {"k": 1, "l": 2} and found["d"] == {"k": 7, "m": 9}
    assert found == yaml.safe_load(text)
    assert "takes a mapping" in refused_yaml("a: {<<: 3}")
    assert "'<<' stands twice" in refused_yaml("a: {<<: {b: 1}, <<: {c: 1}}")
    assert "no anchor above it" in refused_yaml("a: *x\nb: &x 1\n")
    assert "within its own anchor" in refused_yaml("a: &x [1, *x]\n")
    assert "the anchor 'x' stands twice" in refused_yaml("a: &x 1\nb: &x 2\n")


def bomb(item, n_levels=12):
    """Each level holds the one before nine times."""
    levels = [f"a0: &a0 {item}"]
    for level in range(1, n_levels):
        levels.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(levels)


def merging_bomb(n_levels=12):
    levels = ["a0: &a0 {k: 1}"]
    for level in range(1, n_levels):
        levels.append(f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}")
    return "\n".join(levels)


@pytest.mark.parametrize("text", [bomb("[x, x, x]"), bomb("{k: 1}"), merging_bomb()])
def test_an_alias_bomb_is_refused_at_once(text):
    began = time.perf_counter()
    assert "with its aliases written out" in refused_yaml(text)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_yaml_is_refused(opening):
    assert f"over {DOCUMENT_DEPTH} levels deep" in refused_yaml(f"a:\n  {opening * 20_000}")
    # also where aliases make it deep
    chain = "\n".join(["a0: &a0 [1]", *(f"a{n}: &a{n} [[[*a{n - 1}]]]" for n in range(1, 30))])
    assert f"over {DOCUMENT_DEPTH} levels deep" in refused_yaml(chain)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\n---\nb: 2\n", "line 2: a second document begins here"),
        ("a: !!python/object/apply:os.system [ls]", "the tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
        ("a: !!set {x}", "is not taken"),
        ("a: !mine 3", "the tag '!mine' is not taken"),
        ("!!str a: 3\n!!int 4: 3", "is not taken"),
        ("? [1, 2]\n: 3", "a key is plain text"),
        ("?\n: 2", "a key is empty"),
        ("\ta: 1", "line 1: while scanning for the next token, found character '\\t'"),
        ("a: b: c", "mapping values are not allowed here"),
        ("a: [1\n", "expected ',' or ']'"),
        ('a: "x\\0y"', "has a NUL character"),
        ('a: "\\ud800"', "has a lone surrogate"),
        ('"\\udcff": 1', "has a lone surrogate"),
        ("a: x\0y", "special characters are not allowed"),
        ("a: \x1b[31m", "special characters are not allowed"),
    ],
)
def test_other_yaml_that_is_refused(text, words):
    assert words in refused_yaml(text)


def test_files_that_are_no_text_or_no_files(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(codecs.BOM_UTF8 + "a: é\n".encode())
    assert read_yaml(path) == {"a": "é"}
    path.write_bytes("a: é\n".encode("latin-1"))
    with pytest.raises(BadConfiguration, match=r"s\.yaml is not valid YAML: it is not UTF-8 .* at byte 3\)"):
        read_yaml(path)
    path.write_bytes("a: é\n".encode("utf-16"))
    with pytest.raises(BadConfiguration, match="not UTF-8"):
        read_yaml(path)
    path.write_bytes(b"a: 1\n#" + b"x" * YAML_BYTES)
    with pytest.raises(BadConfiguration, match=r"s\.yaml has 1\.0 MB, more than a YAML file may have \(1\.0 MB\)"):
        read_yaml(path)
    path.unlink()
    with pytest.raises(BadConfiguration, match="does not exist"):
        read_yaml(path)
    path.mkdir()
    with pytest.raises(BadConfiguration, match="is a folder, expected a file"):
        read_yaml(path)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_devices_are_not_read(device):
    with pytest.raises(BrokenArtifact, match="is a device, expected a file"):
        read_json(Path(device))


def test_json_of_every_kind_is_read_as_the_library_reads_it(tmp_path):
    document = {"a": [1, 2.5, -3e-7, True, None, "é", "😀", "\t\n"], "b": {"a": {}, "": []}}
    for text in (json.dumps(document), json.dumps(document, ensure_ascii=False, indent=1)):
        assert parse_json(text, "s.json") == document
        assert parse_json(codecs.BOM_UTF8 + text.encode(), "s.json") == document
    (tmp_path / "s.json").write_text(json.dumps(document))
    assert read_object(tmp_path / "s.json") == document


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1,\n "a": 2}', "s.json, line 2, has the key 'a' twice"),
        ('[{"a": {"b": 1}},\n{"b": [{"c": 1}, "c",\n{"c": 1, "d": 2, "c": 3}]}]', "line 3, has the key 'c' twice"),
        ('{"\\u0061": 1, "a": 2}', "line 1, has the key 'a' twice"),
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ('{"a": 1}{"b": 2}', "is not JSON (Extra data"),
        ("[NaN]", "holds NaN, which is no JSON number"),
        ("[-Infinity]", "holds -Infinity"),
        ("[1e400]", "holds a number that is too large"),
        ("[" + "9" * 5000 + "]", "is not JSON"),
        ('{"a": "x\\u0000y"}', "which has a NUL character"),
        ('{"x\\u0000y": 1}', "which has a NUL character"),
        ('["\\ud800"]', "which has a lone surrogate"),
        ('["a\0b"]', "is not JSON (Invalid control character"),
        (b'["\xff"]', "is not UTF-8"),
        ("[" * 200_000, f"over {DOCUMENT_DEPTH} levels deep"),
        ('{"a": ' * 200_000, f"over {DOCUMENT_DEPTH} levels deep"),
        ("[" * 60 + "]" * 60, f"over {DOCUMENT_DEPTH} levels deep"),
    ],
)
def test_json_that_is_refused(text, words):
    assert words in refused_json(text)


def test_json_at_the_limits():
    assert parse_json("[" * DOCUMENT_DEPTH + "]" * DOCUMENT_DEPTH, "s.json")
    assert parse_json('[NaN, Infinity, "x"]', "s.json", constants=True)[2] == "x"
    with pytest.raises(FetchError, match=r"s\.json has 12 B, more than the 11 B that are read"):
        parse_json('["abcdefgh"]', "s.json", error=FetchError, max_bytes=11)


def test_an_object_is_asked_for(tmp_path):
    (tmp_path / "s.json").write_text("[1]")
    with pytest.raises(BrokenArtifact, match=r"s\.json holds list, expected a JSON object; mend it"):
        read_object(tmp_path / "s.json", "mend it")


def test_messages_are_printable_whatever_a_file_holds():
    message = str(LayermapError("file \udcff of \x1b[31mred\x07 and\nmore"))
    assert message == "file \\udcff of \\x1b[31mred\\x07 and more"
    message.encode("utf-8")
    assert str(LayermapError("Größe 3 µm – sub‑01")) == "Größe 3 µm – sub‑01"


STUDY = """study: mine
title: mine
analyses:
  a:
    recording: {kind: alice}
    models: [word-rate]
    metric: {kind: ridge}
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb("[x, x, x, x, x, x, x, x, x]", 30), "with its aliases written out"),
        (STUDY + "question: " + "[" * 100_000, "levels deep"),
        (STUDY + STUDY.split("analyses:\n")[1].replace("word-rate", "word-properties"), "line 8: the key 'a' stands"),
        (STUDY + 'question: "\\0"\n', "NUL"),
    ],
)
def test_a_study_file_of_that_kind_ends_the_program_with_one_line(tmp_path, text, words):
    (tmp_path / "s.yaml").write_text(text)
    code = (
        "import sys, resource\n"
        "from pipeline.study.load import load_study\n"
        "from pipeline.core.errors import BadConfiguration\n"
        "import time\n"
        "before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()\n"
        "try:\n    load_study('s.yaml')\nexcept BadConfiguration as error:\n    print(error)\n"
        "used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(used, time.perf_counter() - began)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    message, figures = done.stdout.splitlines()
    used_kb, wall_s = map(float, figures.split())
    assert words in message and "s.yaml" in message
    assert wall_s < 2 and used_kb < 100_000
    said = subprocess.run(
        [sys.executable, "-m", "pipeline", "catalogue", "--study", "s.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 1 and "Traceback" not in said.stderr
    assert words in said.stderr.splitlines()[-1]
