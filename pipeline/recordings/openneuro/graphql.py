"""The files of a snapshot from OpenNeuro's GraphQL interface, for where git cannot be used."""

from __future__ import annotations

import json
from typing import Any

from pipeline.fetch.annex import AnnexKey, parse_key
from pipeline.fetch.http import lists
from pipeline.fetch.http.lists import NoAnswer
from pipeline.fetch.http.sessions import ask_text
from pipeline.fetch.http.settings import PASSING_STATUS
from pipeline.recordings.openneuro.listed import S3_BUCKET, ListedFile, s3_address

OPENNEURO = "https://openneuro.org"


def ask_graphql(dataset: str, tag: str, base: str) -> list[ListedFile]:
    """List a snapshot by one query to ``BASE/crn/graphql``.

    Where the answer has the address of a version on S3, the file is taken from there, so that a later snapshot cannot
    change it. Its ``id`` is a git-annex key for big files, but was something else in earlier releases: a digest is
    taken from it only where it is one.

    Raises
    ------
    NoAnswer
        No such snapshot, or no list of files came back.
    """
    query = (
        f"query{{snapshot(datasetId:{json.dumps(dataset)},tag:{json.dumps(tag)})"
        "{files(recursive:true){filename urls size id directory}}}"
    )
    answer = ask_text("POST", f"{base}/crn/graphql", silence_s=lists.SILENCE_S, json={"query": query})
    if answer.status in PASSING_STATUS:
        raise NoAnswer(f"it answers {answer.status} {answer.reason}", passing=True)
    if answer.status != 200 and "json" not in answer.content_type:
        raise NoAnswer(f"it answers {answer.status} {answer.reason}", passing=False)
    files = _files_in(answer.json(), dataset, tag)
    return [_listed(dataset, row) for row in files if not row["directory"]]


def _files_in(answer: Any, dataset: str, tag: str) -> list[dict[str, Any]]:
    errors = answer.get("errors") or []
    if errors:
        said = " ".join(str(errors[0].get("message", errors[0])).split())
        raise NoAnswer(f"it refuses the query: {said[:160]}", passing=False)
    snapshot = answer["data"]["snapshot"]
    if snapshot is None:
        raise NoAnswer(f"it has no snapshot {tag} of {dataset}", passing=False)
    files: list[dict[str, Any]] = snapshot["files"]
    if not files:  # what it answers when its own worker was too slow
        raise NoAnswer("its list of files is empty", passing=True)
    return files


def _listed(dataset: str, row: dict[str, Any]) -> ListedFile:
    path = str(row["filename"])
    versions = [url for url in row["urls"] or () if url.startswith(f"{S3_BUCKET}/") and "versionId=" in url]
    key = parse_key(str(row["id"])) or AnnexKey(None)
    return ListedFile(
        path,
        int(row["size"]),
        versions[0] if versions else s3_address(dataset, path),
        md5=key.md5,
        sha256=key.sha256,
    )
