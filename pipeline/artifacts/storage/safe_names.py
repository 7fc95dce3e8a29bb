"""What a server, a folder or a table calls something, before it becomes part of a path or a command.

Names of groups, recordings and stimuli are files under ``data/``, wildcards of Snakemake and arguments of stages. They
hold no character that any of these reads as something else, whoever gave them.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from pipeline.core.errors import UnsafeName
from pipeline.core.names import REFUSED

LONGEST_NAME = 100
LONGEST_PART_BYTES = 240
"""Of a file's name: file systems take 255 bytes, some of which go to the endings of parts and locks."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]*")
WHENCE = "correct it where it comes from: a file, folder or table of yours, or the server or mirror that gave it"


def check_name(value: str, what: str) -> None:
    """Refuse a name that cannot be a path's part, a wildcard and an argument.

    Parameters
    ----------
    what : what it is the name of, for the message, e.g. ``dataset allen_2p: recording``

    Raises
    ------
    UnsafeName
        Names what it is and the value, with everything that is not ASCII spelled out.
    """
    if not _NAME.fullmatch(value) or len(value) > LONGEST_NAME:
        raise UnsafeName(
            f"{what} {value!a} is no safe name: up to {LONGEST_NAME} letters a to z, digits and . _ @ + -, "
            f"beginning with neither . nor -; {WHENCE}"
        )


def check_shown(value: str, what: str) -> None:
    """Refuse a name that is only shown if it holds control characters.

    Raises
    ------
    UnsafeName
        Names what it is and the value.
    """
    if holds_control_characters(value):
        raise UnsafeName(f"{what} {value!a} holds control characters; {WHENCE}")


def check_path(path: str, whence: str) -> None:
    """Refuse a path that does not stay within the folder it is relative to.

    Parameters
    ----------
    whence : the file's address, for the message

    Raises
    ------
    UnsafeName
        Names the path and where it comes from.
    """
    parts = PurePosixPath(path).parts
    if path.startswith(("/", "~")) or ".." in parts or not parts:
        raise UnsafeName(f"'{path}' ({whence}) would be written outside its folder; {WHENCE}")
    if holds_control_characters(path) or any(len(part.encode()) > LONGEST_PART_BYTES for part in parts):
        raise UnsafeName(
            f"{path!a} ({whence}) is no path for a file: it holds control characters, or a part of more than "
            f"{LONGEST_PART_BYTES} bytes; {WHENCE}"
        )


def holds_control_characters(text: str) -> bool:
    """Whether a text holds what moves a cursor or ends a line, or bytes that are no text."""
    return any(unicodedata.category(character) in REFUSED for character in text)
