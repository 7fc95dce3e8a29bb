"""Which scans the three datasets consist of: the catalogues against direct counts over the real lists and metadata."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import BadConfiguration, SampleMismatch
from pipeline.recordings.openneuro.snapshot import ListedFile, list_snapshot
from pipeline.recordings.stories import alice_bold, narratives, petit_prince
from tests.conftest import MIRROR
from tests.listening.server import Contents, ListeningServer
from tests.listening.study import GITHUB, real_file, real_rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.mirror,
    pytest.mark.skipif(not MIRROR.is_dir(), reason="needs ../shared/mirror"),
]

DOCS = Path(__file__).parents[3] / "docs" / "listening.md"
EXCLUSIONS = GITHUB / narratives.EXCLUSIONS.url.partition("raw.githubusercontent.com/")[2]
DERIVATIVE = "datasets.datalad.org/labs/hasson/narratives/derivatives/afni-nosmooth"


@pytest.fixture(scope="module")
def server() -> Iterator[ListeningServer]:
    """The real lists; of what the catalogues themselves read, the real contents."""
    with pytest.MonkeyPatch.context() as patch, ListeningServer() as one:
        patch.setenv("NO_PROXY", "127.0.0.1")
        for dataset, tag, read in (
            ("ds002345", "1.1.4", ("participants.tsv",)),
            ("ds003643", "2.0.7", ()),
            ("ds002322", "1.0.4", ("_events.tsv",)),
        ):
            rows: dict[str, Contents] = dict(real_rows(dataset))
            for path in rows:
                if read and path.endswith(read) and (contents := real_file(dataset, path)) is not None:
                    rows[path] = contents
            one.add_snapshot(dataset, tag, rows)
        one.add_file(f"raw.githubusercontent.com/{EXCLUSIONS.relative_to(GITHUB)}", EXCLUSIONS)
        yield one


@pytest.fixture(scope="module")
def scans(server: ListeningServer) -> dict[str, ListedFile]:
    return list_snapshot("ds002345", "1.1.4", server.prefix)


def direct_count(story: str) -> tuple[int, int]:
    """Listeners and usable scans of a task by nothing but the real names, exclusions and participants."""
    task = narratives.TASK_OF[story]
    excluded = [s for by in json.loads(EXCLUSIONS.read_text()).values() for scans in by.values() for s in scans]
    named = re.compile(rf"(sub-\d+)/func/(\1_task-{task}(_run-\d)?)_bold\.nii\.gz")
    found = [hit for path in real_rows("ds002345") if (hit := named.fullmatch(path)) and hit[2] not in excluded]
    if task == "milkyway":
        table = (real_file("ds002345", "participants.tsv") or b"").decode().splitlines()
        cells = [row.split("\t") for row in table[1:]]
        version = {row[0]: dict(zip(row[3].split(","), row[4].split(","), strict=True)) for row in cells}
        found = [hit for hit in found if f"milkyway{version[hit[1]]['milkyway']}" == story]
    return len({hit[1] for hit in found}), len(found)


def usable(scans: dict[str, ListedFile], server: ListeningServer, story: str) -> tuple[int, int]:
    """The same by the dataset's own code."""
    options = narratives.NarrativesOptions(stories=(story,))
    excluded = narratives.excluded_scans(server.prefix)
    versions = narratives.milkyway_versions(scans, server.prefix)
    heard = narratives.usable_scans(story, scans, options, excluded, versions)
    return len(heard), sum(len(found) for found in heard.values())


def test_narratives_has_345_subjects_and_873_scans(scans: dict[str, ListedFile]) -> None:
    bold = [path for path in scans if path.endswith("_bold.nii.gz")]
    assert len(bold) == 873
    assert len({path.partition("/")[0] for path in bold}) == 345


def test_each_story_has_the_usable_scans_that_a_direct_count_and_the_docs_say(
    scans: dict[str, ListedFile], server: ListeningServer
) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for name, _, _ in rows} == set(narratives.TASK_OF)
    for story, listeners, n_scans in rows:
        assert usable(scans, server, story) == direct_count(story) == (int(listeners), int(n_scans)), story


def test_the_exclusions_leave_no_scan_whose_story_starts_within_its_music(server: ListeningServer) -> None:
    excluded = narratives.excluded_scans(server.prefix)
    odd = {f"sub-{one}_task-{story}" for one in ("038", "105") for story in ("milkyway", "prettymouth")}
    assert odd <= excluded


def test_joined_stories_are_runs_of_those_who_heard_them_all(server: ListeningServer) -> None:
    options = narratives.NarrativesOptions(stories=("pieman", "lucy"), joined=True, limit=2)
    chosen = ["sub-026", "sub-041"]
    for subject in chosen:
        for story in options.stories:
            for side in "LR":
                name = f"{subject}_task-{story}_space-fsaverage6_hemi-{side}_desc-clean.func.gii"
                server.add_file(f"{DERIVATIVE}/{subject}/func/{name}", b"x" * 1000)
    catalogue = narratives.catalogue(options, "key", server.prefix)
    assert [group.subjects for group in catalogue.groups] == [tuple(chosen)]
    assert [run.stimulus for run in catalogue.groups[0].runs] == ["pieman", "lucy"]
    images = [file for file in catalogue.files if file.path.endswith(".func.gii")]
    assert len(images) == 8
    assert {file.bytes for file in images} == {1000}
    sounds = {file.path: file.bytes for file in catalogue.files if file.path.startswith("stimuli/")}
    assert sounds == {"stimuli/pieman_audio.wav": 86400078, "stimuli/lucy_audio.wav": 47819864}


def test_nobody_heard_everything(server: ListeningServer) -> None:
    options = narratives.NarrativesOptions(stories=("lucy", "bronx"), joined=True)
    with pytest.raises(BadConfiguration, match="nobody heard all of lucy, bronx"):
        narratives.catalogue(options, "key", server.prefix)


def test_petit_prince_has_nine_sections_of_each_listener(server: ListeningServer) -> None:
    listed = list_snapshot("ds003643", "2.0.7", server.prefix)
    sections = petit_prince.sections_of(listed)
    assert {language: len(heard) for language, heard in sections.items()} == {"EN": 49, "FR": 28, "CN": 35}
    images = [path for heard in sections.values() for listener in heard.values() for path in listener]
    assert len(images) == len(set(images)) == 1008
    assert Counter(len(listener) for heard in sections.values() for listener in heard.values()) == {9: 112}
    for heard in sections.values():
        for subject, listener in heard.items():
            runs = [int(re.search(r"_run-(\d+)_", path)[1]) for path in listener]  # type: ignore[index]
            assert runs == sorted(runs)
            assert all(path.startswith(f"derivatives/{subject}/func/{subject}_task-lpp") for path in listener)
    assert any("run-15" in path for path in sections["EN"]["sub-EN057"])


@pytest.mark.parametrize(
    ("options", "gigabytes", "listeners"),
    [
        (petit_prince.PetitPrinceOptions(sections=(1, 2, 3)), 25.6, [49, 28, 35]),
        (petit_prince.PetitPrinceOptions(), 78.8, [49, 28, 35]),
        (petit_prince.PetitPrinceOptions(limit=3, sections=(1, 2, 3)), 2.54, [3, 3, 3]),
        (alice_bold.AliceBoldOptions(), 6.5, [23]),
        (alice_bold.AliceBoldOptions(limit=3), 0.93, [3]),
    ],
)
def test_gigabytes_and_listeners_are_known_before_anything_is_fetched(
    options: petit_prince.PetitPrinceOptions | alice_bold.AliceBoldOptions,
    gigabytes: float,
    listeners: list[int],
    server: ListeningServer,
) -> None:
    module = alice_bold if isinstance(options, alice_bold.AliceBoldOptions) else petit_prince
    catalogue = module.catalogue(options, "key", server.prefix)  # type: ignore[arg-type]
    assert all(file.bytes is not None or file.contents is not None for file in catalogue.files)
    assert sum(file.bytes or 0 for file in catalogue.files) / 1e9 == pytest.approx(gigabytes, rel=0.02)
    assert [len(group.subjects) for group in catalogue.groups] == listeners


def test_alice_leaves_out_who_has_no_image(server: ListeningServer) -> None:
    catalogue = alice_bold.catalogue(alice_bold.AliceBoldOptions(), "key", server.prefix)
    selection = json.loads(next(str(file.contents) for file in catalogue.files if file.contents))
    without = {"sub-38", "sub-46", "sub-52"}
    assert without.isdisjoint(catalogue.groups[0].subjects)
    assert all(f"{subject}: no preprocessed image" in selection["left_out"] for subject in without)


def test_a_listener_who_lacks_a_run_is_named(server: ListeningServer) -> None:
    rows = {path: row for path, row in real_rows("ds003643").items() if "sub-EN057_task-lppEN_run-15_space" not in path}
    server.add_snapshot("ds003643", "9.9.9", dict(rows))
    options = petit_prince.PetitPrinceOptions(snapshot="9.9.9", languages=("EN",), limit=1)
    with pytest.raises(SampleMismatch, match=r"sub-EN057 has 8 preprocessed runs.*exclude"):
        petit_prince.catalogue(options, "key", server.prefix)
    spared = petit_prince.PetitPrinceOptions(snapshot="9.9.9", languages=("EN",), limit=1, exclude=("sub-EN057",))
    assert petit_prince.catalogue(spared, "key", server.prefix).groups[0].subjects == ("sub-EN058",)
