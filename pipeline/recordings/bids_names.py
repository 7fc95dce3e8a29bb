"""What the names of BIDS files say: ``sub-EN057_task-lppEN_run-15_space-MNIColin27_desc-preproc_bold.nii.gz``.

pybids and ancpbids read such names from a folder on disk. Here they are read from lists of files that nobody has
fetched yet, to decide which ones to fetch; and derivatives that bend the standard (AFNI's, Alice's) have to be read
too. Names alone need one pattern.

References
----------
BIDS specification 1.10, "Filenames": entities ``key-value`` joined by ``_``, then a suffix and an extension.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.core.errors import BrokenArtifact
from pipeline.core.names import clean_name, natural_order, printable

ABSENT = ""
"""As a wanted value: the name must not have this entity."""
_FIELDS = {
    "sub": "subject",
    "ses": "session",
    "task": "task",
    "acq": "acquisition",
    "run": "run",
    "echo": "echo",
    "space": "space",
    "hemi": "hemisphere",
    "res": "resolution",
    "desc": "description",
}
_NUMBERS = ("run", "echo")
_ENTITY = re.compile(r"([A-Za-z]+)-([^-_/]+)")


@dataclass(frozen=True)
class BidsName:
    """The entities of a file's name; None (no text: ``""``) where it has none.

    Parameters
    ----------
    subject, task, space, … : as in the name, without their keys
    run, echo : as numbers; the name's leading zeros are dropped
    hemisphere : ``L`` or ``R``
    description : of ``desc-``
    suffix : e.g. ``bold``; what follows the last entity, so ``bold_preprocessed`` in Alice's derivatives and empty in
        AFNI's ``desc-clean.func.gii``
    extension : from the first dot on, e.g. ``.nii.gz`` or ``.func.gii``
    others : entities without a field of their own, as (key, value), in the order of the name
    """

    subject: str
    session: str | None = None
    task: str | None = None
    acquisition: str | None = None
    run: int | None = None
    echo: int | None = None
    space: str | None = None
    hemisphere: str | None = None
    resolution: str | None = None
    description: str | None = None
    suffix: str = ""
    extension: str = ""
    others: tuple[tuple[str, str], ...] = ()


def parse_name(path: str) -> BidsName | None:
    """Read the name of a file about one subject.

    Parameters
    ----------
    path : only its last part counts

    Returns
    -------
    BidsName or None
        None if the name does not begin with ``sub-``, gives an entity twice, or has something between its entities.

    Raises
    ------
    BrokenArtifact
        The name holds a control character; characters that are not seen do not count (`pipeline.core.names`).
    """
    name = PurePosixPath(path).name
    if "sub-" not in name:
        return None
    stem, dot, extension = clean_name(name, printable(path), "file").partition(".")
    parts = stem.split("_")
    pairs: list[tuple[str, str]] = []
    for part in parts:
        found = _ENTITY.fullmatch(part)
        if found is None:
            break
        pairs.append((found[1], found[2]))
    suffix = parts[len(pairs) :]
    keys = [key for key, _ in pairs]
    if not pairs or keys[0] != "sub" or len(set(keys)) < len(keys) or any("-" in part or not part for part in suffix):
        return None
    if any(key in _NUMBERS and not value.isdecimal() for key, value in pairs):
        return None
    fields = {_FIELDS[key]: int(value) if key in _NUMBERS else value for key, value in pairs if key in _FIELDS}
    return BidsName(
        **fields,  # type: ignore[arg-type]
        suffix="_".join(suffix),
        extension=dot + extension,
        others=tuple((key, value) for key, value in pairs if key not in _FIELDS),
    )


Wanted = str | int | Collection[str] | Collection[int] | None


def select_names(paths: Iterable[str], *, folder: str | None = None, **wanted: Wanted) -> dict[str, BidsName]:
    """Those files of a list whose names have the wanted entities.

    Parameters
    ----------
    folder : only paths under it; ``""`` is the raw data, i.e. paths that begin with ``sub-``; None takes all
    wanted : field of `BidsName` → a value, several values of which one is enough, `ABSENT`, or None for any

    Returns
    -------
    dict
        path → name, in order of path, numbers by value; files whose names are not of BIDS are left out.

    Raises
    ------
    BrokenArtifact
        A file that is wanted lies in the folder of another listener than its name says.
    """
    unknown = set(wanted) - set(BidsName.__dataclass_fields__)
    if unknown:
        raise TypeError(f"BIDS names have no field {sorted(unknown)}")
    chosen = {}
    for path in natural_order(paths):
        name = parse_name(path)
        if name is None or (folder is not None and not path.startswith(f"{folder.rstrip('/')}/" if folder else "sub-")):
            continue
        if all(_fits(getattr(name, field), value) for field, value in wanted.items()):
            _check_folder(path, name)
            chosen[path] = name
    return chosen


def _check_folder(path: str, name: BidsName) -> None:
    """Refuse a file in another listener's folder: it would count as one more of his, or as one more listener."""
    for folder in PurePosixPath(path).parts[:-1]:
        if folder.startswith("sub-") and clean_name(folder, printable(path), "folder") != f"sub-{name.subject}":
            raise BrokenArtifact(
                f"{printable(path)} lies in the folder {printable(folder)}, but is named after sub-{name.subject}; "
                "rename one of them, or report it to the data set's publisher"
            )


def _fits(found: str | int | None, wanted: Wanted) -> bool:
    if wanted is None:
        return True
    if isinstance(wanted, str | int):
        return found == wanted or (wanted == ABSENT and found is None)
    return found in wanted or (found is None and ABSENT in wanted)
