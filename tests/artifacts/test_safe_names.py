"""Names and paths from servers and folders: which become files, wildcards and arguments, and which are refused."""

from pathlib import Path

import pytest

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
from pipeline.core.errors import BrokenArtifact, LayermapError, UnsafeName
from pipeline.fetch.weights.hub import HUB
from pipeline.models.registry import MODELS
from pipeline.recordings.allen import cortical_layers, queries
from pipeline.recordings.openneuro.listings import GITHUB, OPENNEURO, S3_BUCKET
from pipeline.recordings.published.pinned_files import FILES, pinned_files
from pipeline.study.load import STUDIES, load_study

HOSTILE = [
    *("701'$(touch PWNED)'", "701;touch PWNED", "`touch PWNED`", "$(touch PWNED)", "a|b", "a&b", "a>b", "a b", "a\tb"),
    *("a\nb", "a\n", "..", ".", ".hidden", "-x", "--help", "a/b", "/etc/passwd", "a\\b", "~", "~root", "", " "),
    *("{wildcards.x}", "a*b", "a?b", "[ab]", "a!b", "a#b", "a%b", 'a"b', "a:b", "a=b", "a,b", "a\0b", "\x1b[2Jb"),
    # what looks like 701 and VISp, and is neither
    *("７０１", "ⅤISp", "VІSp", "а", "a\u200bb", "a\u202eb", "\ufeffa", "ａ", "é", "x" * 101),
]
GOOD = ["701", "mouse-1", "lpp-en-15", "run-1", "natural_movie_one", "a.b", "A+B@c-1.0", "_x", "x" * 100, "0"]


def made(**names) -> Catalogue:
    what = {"dataset": "d", "key": "k", "group": "g", "recording": "r", "stimulus": "s", "subject": "m", **names}
    run = Run(stimulus=what.get("run_stimulus", what["stimulus"]), recording=what.get("run", what["recording"]))
    return Catalogue(
        dataset=what["dataset"],
        key=what["key"],
        groups=(Group(name=what["group"], runs=(run,), subjects=(what["subject"],)),),
        recordings=(what["recording"],),
        stimuli=(StimulusEntry(name=what["stimulus"], modality="images"),),
        files=(),
    )


@pytest.mark.parametrize("where", ["dataset", "key", "group", "recording", "stimulus", "run", "run_stimulus"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_catalogue_with_such_a_name_is_neither_made_nor_read(where, name):
    with pytest.raises(UnsafeName) as caught:
        made(**{where: name})
    message = str(caught.value)
    assert ascii(name) in message and "is no safe name" in message and "correct it where it comes from" in message
    assert message.startswith("dataset ") and "\n" not in message and message.isprintable()
    document = made().model_dump(mode="json")
    content = {**document, **({where: name} if where in document else {})}
    if where in ("group", "run", "run_stimulus"):
        of_run = {"run": "recording", "run_stimulus": "stimulus"}
        content["groups"][0] |= {"name": name} if where == "group" else {}
        content["groups"][0]["runs"][0] |= {} if where == "group" else {of_run[where]: name}
    content |= {"recordings": [name]} if where == "recording" else {}
    content |= {"stimuli": [{"name": name, "modality": "images"}]} if where == "stimulus" else {}
    with pytest.raises(UnsafeName):
        Catalogue.model_validate(content)


@pytest.mark.parametrize("name", GOOD)
def test_names_as_datasets_have_them_pass(tmp_path, name):
    catalogue = made(group=name, recording=name, stimulus=name, subject=name)
    write_json(catalogue, tmp_path / "c.json")
    assert open_catalogue(tmp_path / "c.json") == catalogue


def test_subjects_are_only_shown():
    assert made(subject="Maus Käthe; 3").groups[0].subjects == ("Maus Käthe; 3",)
    for subject in ("a\nb", "\x1b]0;x\x07", "a\u2028b", "\ud800"):
        with pytest.raises(UnsafeName, match=r"dataset d: subject .* holds control characters"):
            made(subject=subject)


@pytest.mark.parametrize("where", ["recordings", "dataset"])
def test_a_catalogue_that_was_changed_on_disk_is_named(tmp_path, where):
    path = tmp_path / "c.json"
    write_json(made(), path)
    text = path.read_text(encoding="utf-8")
    value = {"recordings": '"recordings": [\n  "r"', "dataset": '"dataset": "d"'}[where]
    assert value in text
    path.write_text(text.replace(value, value[:-2] + '$(touch PWNED)"'), encoding="utf-8")
    with pytest.raises(BrokenArtifact) as caught:
        open_catalogue(path)
    assert str(path) in str(caught.value) and "snakemake catalogue" in str(caught.value)


def test_a_receipt_that_was_changed_on_disk_is_named(tmp_path):
    path = tmp_path / "r.json"
    write_json(Receipt(what="d", key="k", files=(FetchedFile(path="a/b", url="u", bytes=1, sha256="0"),)), path)
    path.write_text(path.read_text(encoding="utf-8").replace('"a/b"', '"../b"'), encoding="utf-8")
    with pytest.raises(BrokenArtifact) as caught:
        open_receipt(path)
    assert str(path) in str(caught.value) and "snakemake fetch" in str(caught.value)


@pytest.mark.parametrize("path", ["../b", "/etc/b", "a/../../b", "a/..", "..", "", ".", "~/b", "~root/b"])
def test_a_file_outside_its_folder_is_refused(path):
    for kind in (RawFile, FetchedFile):
        more = {"bytes": 1, "sha256": "0"} if kind is FetchedFile else {}
        with pytest.raises(UnsafeName, match="would be written outside its folder"):
            kind(path=path, url="https://a.org/b", **more)


@pytest.mark.parametrize("path", ["a\nb", "a\0b", "\x1b[2J", "a/\x7f", "gr\udcf6e", "x" * 241, "a/" + "ü" * 121])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(UnsafeName, match="is no path for a file"):
        RawFile(path=path, url="https://a.org/b")


@pytest.mark.parametrize("path", ["images/my picture (1).png", "größe.wav", "a/..b/c", "a~", "-x", "$(touch x)"])
def test_paths_of_users_pass_for_they_are_in_no_command(path):
    assert RawFile(path=path, url="https://a.org/b").path == path


def test_messages_move_no_cursor():
    assert str(LayermapError("a\x1b[2Jb\x07 \u202ec\ud800 ü\u2028d")) == r"a\x1b[2Jb\x07 \u202ec\ud800 ü d"


def test_default_addresses_are_https():
    addresses = [
        queries.API_URL,
        *cortical_layers.ADDRESSES.values(),
        GITHUB,
        OPENNEURO,
        S3_BUCKET,
        HUB,
    ]
    addresses += [file.url for source in FILES.glob("*.tsv") for file in pinned_files(source.stem)]
    for name in MODELS:
        source = MODELS.get(name).weights
        addresses += [source.url] if source is not None and source.url else []
    assert len(addresses) > 20 and all(address.startswith("https://") for address in addresses)
    sources = Path(queries.__file__).resolve().parents[2].rglob("*.py")
    plain = [
        (path.name, line) for path in sources for line in path.read_text("utf-8").splitlines() if "http://" in line
    ]
    # what a user may give as a mirror is the user's own
    assert [one for one in plain if "mirror=http://HOST" not in one[1]] == []
    assert all(load_study(name) for name in STUDIES.known())


@pytest.mark.parametrize("link", ["@evil.org/x", ".evil.org/x", "", "x", "/a b", "/a\nb", "//é", "https://evil.org"])
def test_a_download_link_leads_nowhere_else(link):
    with pytest.raises(LayermapError, match=r"is no path on https://api\.brain-map\.org"):
        queries.address_of(link)
    assert queries.address_of("/api/v2/x/1") == "https://api.brain-map.org/api/v2/x/1"
