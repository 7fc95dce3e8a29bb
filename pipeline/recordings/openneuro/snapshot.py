"""The files of a pinned snapshot of a dataset on OpenNeuro, with sizes and digests, before any of them is fetched.

git is asked first: it knows the digest of every file. OpenNeuro's own GraphQL interface is asked where git is not
installed or its repository cannot be reached. Contents come from the public S3 bucket in either case.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from pipeline.artifacts.catalogue import RawFile
from pipeline.core.errors import BadConfiguration, FetchError
from pipeline.fetch.http.lists import NoAnswer, addresses_of, ask
from pipeline.recordings.openneuro.listings import GITHUB, OPENNEURO, ListedFile, ask_graphql, read_git_tree

__all__ = ["ListedFile", "find_file", "list_snapshot", "raw_file"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def list_snapshot(dataset: str, tag: str, mirror: str | None) -> dict[str, ListedFile]:
    """List the files of a snapshot.

    Parameters
    ----------
    dataset : e.g. ``ds003643``
    tag : its version, e.g. ``2.0.7``
    mirror : http(s) prefix; ``MIRROR/github.com/OpenNeuroDatasets/DATASET`` and ``MIRROR/openneuro.org/crn/graphql``
        are asked before the public addresses

    Returns
    -------
    dict
        path → file, by path.

    Raises
    ------
    BadConfiguration
        Dataset or tag cannot be names of one.
    FetchError
        Neither gave the list; one line with each address and its reason.
    """
    for what, name in (("dataset", dataset), ("snapshot", tag)):
        if not _NAME.fullmatch(name):
            raise BadConfiguration(f"'{name}' is no {what} of OpenNeuro; expected a name such as ds003643 or 2.0.7")
    reasons = []
    for way, question, public in (
        ("git", read_git_tree, GITHUB),
        ("GraphQL", ask_graphql, OPENNEURO),
    ):
        try:
            files = ask(functools.partial(question, dataset, tag), addresses_of(public, mirror))
        except NoAnswer as error:
            reasons.append(f"{way}: {error}")
        else:
            return {file.path: file for file in sorted(files, key=lambda file: file.path)}
    raise FetchError(
        f"no list of the files of {dataset}, snapshot {tag} ({'; '.join(reasons)}); see which there are at "
        f"https://openneuro.org/datasets/{dataset}, connect to github.com or openneuro.org, or give an http mirror "
        "that answers for them with --config mirror=http://HOST"
    )


def find_file(path: str, listed: Mapping[str, ListedFile], dataset: str) -> ListedFile:
    """A file that a dataset must have.

    Raises
    ------
    FetchError
        The list lacks it.
    """
    if path not in listed:
        raise FetchError(f"{dataset} lists no {path}; choose another snapshot, or leave the listener out (exclude)")
    return listed[path]


def raw_file(listed: ListedFile, *, part: int | None = None, prefix: str = "") -> RawFile:
    """The catalogue's entry of a listed file.

    Parameters
    ----------
    part : number, from 1, of the subject or group that needs it, in the order in which ``limit`` takes them
    prefix : folder before the path under ``data/raw/<dataset>/``, with its slash
    """
    return RawFile(
        path=prefix + listed.path,
        url=listed.url,
        bytes=listed.bytes,
        md5=listed.md5,
        git_sha1=listed.git_sha1,
        sha256=listed.sha256,
        part=part,
    )
