"""The recordings of a group: blanks left out, cells matched within a member, members stacked along the targets.

A recording may hold several stimuli. It is listed once for each that is asked for, beside the activations to it, and
gives its samples of that stimulus.

A member is what keeps its targets over several recordings: an imaged field of view over sessions, or the probes of one
session. Recordings name theirs in attribute ``member``; those without it are one member, and nothing is matched.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts.recording import blocks_of_samples, check_counts, read_samples
from pipeline.core.errors import SampleMismatch
from pipeline.encoding.splits import Samples

if TYPE_CHECKING:
    import xarray as xr

    from pipeline.artifacts.activations import Activations
    from pipeline.encoding.arithmetic.scratch import Scratch

SAME_CLOCK = 0.01  # of a sample interval: times this close are equal
BLOCK_BYTES = 1 << 25
_SHARED_ATTRS = ("sample_kind", "sample_interval_s", "high_pass_s", "z_scored")


@dataclasses.dataclass(frozen=True)
class RunRows:
    """What one run of one recording holds of one stimulus.

    Parameters
    ----------
    path : of the recording
    activations : to the stimulus
    name : of the run
    rows : (n_samples,) the recording's samples of this run and stimulus, without blanks
    n_repeats : up to the last with a response in these rows
    samples : what was presented in them
    """

    path: Path
    activations: Activations
    name: str
    rows: np.ndarray
    n_repeats: int
    samples: Samples


@dataclasses.dataclass(frozen=True)
class Member:
    """The runs of one member, and the targets that all its recordings have.

    Parameters
    ----------
    name : empty for recordings that name none
    runs : in the order of the group
    columns : of each recording, where the member's targets lie in it, (n_targets,)
    targets : coordinates of the targets in the member's first recording, name → (n_targets,)
    """

    name: str
    runs: tuple[RunRows, ...]
    columns: dict[Path, np.ndarray]
    targets: dict[str, np.ndarray]

    @property
    def n_targets(self) -> int:
        return int(self.targets["target"].size)


@dataclasses.dataclass(frozen=True)
class _Scan:
    """What one pass over a recording's responses tells of the targets that its member has.

    Parameters
    ----------
    heard : (n_repeats, n_samples) bool, whether any of the targets has a response
    n_missing : (n_samples,) how many of them have no repeat
    first_missing : (n_samples,) the column of the first that has none
    """

    heard: np.ndarray
    n_missing: np.ndarray
    first_missing: np.ndarray


def find_members(
    pairs: Sequence[tuple[Path, Activations]],
    recordings: Mapping[Path, xr.Dataset],
    n_bytes: int = BLOCK_BYTES,
    *,
    sizes_only: bool = False,
) -> list[Member]:
    """Sort recordings into members and check that they can be joined.

    Parameters
    ----------
    pairs : the group's recordings and the activations to one of their stimuli, in order
    recordings : what each recording holds; their responses are read in blocks of samples
    n_bytes : of such a block
    sizes_only : leave responses unread and unchecked; ``n_repeats`` of each run is 0

    Raises
    ------
    SampleMismatch
        Recordings of one member without a common target, or that differ where none is named; members that did not
        see the same; attributes that differ; a recording without samples of its stimulus, or listed with it twice; a
        sample without any response; a target that two members have. The message names the files.
    BrokenArtifact
        A recording whose responses are not as many as it states.
    """
    _check_attrs(recordings)
    _check_listed_once(pairs)
    by_member: dict[str, list[tuple[Path, Activations]]] = {}
    for path, layers in pairs:
        by_member.setdefault(str(recordings[path].attrs.get("member", "")), []).append((path, layers))
    scan = None if sizes_only else functools.partial(_scan, n_bytes=n_bytes)
    members = [_member(name, own, recordings, scan) for name, own in by_member.items()]
    for member in members[1:]:
        _check_same_samples(members[0], member)
    _check_unique_targets(members)
    return members


def join_responses(
    recordings: Mapping[Path, xr.Dataset], members: Sequence[Member], scratch: Scratch, n_bytes: int = BLOCK_BYTES
) -> np.ndarray:
    """Runs one after another and members side by side; those with fewer repeats are filled up with NaN.

    Recordings are read one after another in blocks of samples of ``n_bytes``.

    Returns
    -------
    array of shape (n_repeats, n_samples, n_targets)
    """
    n_repeats = max(run.n_repeats for member in members for run in member.runs)
    bounds = np.cumsum([0, *(run.samples.n for run in members[0].runs)])
    n_targets = sum(member.n_targets for member in members)
    dtype = np.result_type(*(recording["responses"].dtype for recording in recordings.values()))
    joined = scratch.array((n_repeats, int(bounds[-1]), n_targets), dtype)
    first = 0
    for member in members:
        here = slice(first, first + member.n_targets)
        for path, columns in member.columns.items():
            own = [(start, run) for start, run in zip(bounds, member.runs, strict=False) if run.path == path]
            for start, run in own:
                joined[run.n_repeats :, start : start + run.samples.n, here] = np.nan
            for block in blocks_of_samples(recordings[path], n_bytes):
                responses = read_samples(recordings[path], path, "responses", block)
                for start, run in own:
                    begin, end = np.searchsorted(run.rows, (block.start, block.stop))
                    rows = run.rows[begin:end] - block.start
                    for repeat in range(run.n_repeats):
                        joined[repeat, start + begin : start + end, here] = responses[repeat][rows][:, columns]
        first = here.stop
    return joined


def join_targets(members: Sequence[Member]) -> dict[str, np.ndarray]:
    """Coordinates of all members' targets; those that not all members have are left out.

    ``compartment`` is empty where a recording has none; ``member`` is there where recordings name theirs.
    """
    shared = [name for name in members[0].targets if all(name in member.targets for member in members)]
    joined = {name: np.concatenate([member.targets[name] for member in members]) for name in shared}
    if any(member.name for member in members):
        joined["member"] = np.repeat([member.name for member in members], [member.n_targets for member in members])
    return joined


def count_subjects(members: Sequence[Member], stated: int) -> int:
    """Distinct subjects of several members; of a single one, what its recordings state."""
    if len(members) == 1:
        return stated
    return len({str(name) for member in members for name in member.targets["subject"]})


def _member(
    name: str,
    pairs: Sequence[tuple[Path, Activations]],
    recordings: Mapping[Path, xr.Dataset],
    scan: Callable[[Path, xr.Dataset, np.ndarray], _Scan] | None,
) -> Member:
    own = {path: recordings[path] for path, _ in pairs}
    columns = _match_targets(name, own)
    scans = {} if scan is None else {path: scan(path, recording, columns[path]) for path, recording in own.items()}
    runs: list[RunRows] = []
    for place, (path, layers) in enumerate(pairs):
        recording = own[path]
        shown = _shown(path, recording, layers)
        if scans:
            _check_responses(path, recording, shown, scans[path])
        for run in dict.fromkeys(recording["run"].values[shown].tolist()):
            rows = np.flatnonzero((recording["run"].values == run) & shown)
            n_repeats = _n_repeats(scans[path].heard[:, rows]) if scans else 0
            samples = _samples(recording, rows, f"{place}/{run}", layers)
            runs.append(RunRows(path, layers, str(run), rows, n_repeats, samples))
    first = pairs[0][0]
    targets = {
        str(label): _text(variable.values)[columns[first]]
        for label, variable in own[first].variables.items()
        # its reliability is that of one recording; encode estimates that of all of them joined
        if variable.dims == ("target",) and label != "reliability"
    }
    targets.setdefault("compartment", np.full(columns[first].size, ""))
    return Member(name, tuple(runs), columns, targets)


def _match_targets(name: str, recordings: Mapping[Path, xr.Dataset]) -> dict[Path, np.ndarray]:
    """Where the targets that all recordings of a member have lie in each, in the order of the first."""
    names = {path: recording["target"].values.tolist() for path, recording in recordings.items()}
    first = next(iter(names))
    if not name:
        for path, found in names.items():
            _check_equal_targets(path, found, first, names[first])
        return {path: np.arange(len(found)) for path, found in names.items()}
    common = names[first]
    for path, found in names.items():
        known = set(found)
        left, common = common, [target for target in common if target in known]
        if not common:
            raise SampleMismatch(
                f"{path} has none of the {len(left)} targets that member '{name}' has from {first} "
                "up to there; give matched cells one name, or each recording a member of its own"
            )
    columns = {}
    for path, found in names.items():
        where = {target: column for column, target in enumerate(found)}
        columns[path] = np.array([where[target] for target in common], int)
        _check_same_cells(recordings, (first, path), columns)
    return columns


def _check_same_cells(
    recordings: Mapping[Path, xr.Dataset], pair: tuple[Path, Path], columns: dict[Path, np.ndarray]
) -> None:
    """Matched targets lie in one region of one subject."""
    first, path = pair
    for label in ("subject", "region"):
        expected = recordings[first][label].values[columns[first]]
        values = recordings[path][label].values[columns[path]]
        odd = np.flatnonzero(values != expected)
        if odd.size:
            target = recordings[first]["target"].values[columns[first][odd[0]]]
            raise SampleMismatch(
                f"target '{target}' has {label} '{values[odd[0]]}' in {path} and '{expected[odd[0]]}' in {first}; "
                "give only matched cells one name"
            )


def _check_equal_targets(path: Path, names: list[str], first_path: Path, expected: list[str]) -> None:
    if names == expected:
        return
    odd = next(iter(sorted(set(names) ^ set(expected))), "")
    what = f"'{odd}' is in one only" if odd else "the order differs"
    raise SampleMismatch(
        f"{path} has {len(names)} targets and {first_path} {len(expected)} ({what}); "
        "runs of a group must share their targets"
    )


def _check_attrs(recordings: Mapping[Path, xr.Dataset]) -> None:
    first = next(iter(recordings))
    first_of: dict[str, Path] = {}
    for path, recording in recordings.items():
        # of another member, the subjects are others
        of_member = first_of.setdefault(recording.attrs.get("member", ""), path)
        for name, other in [*((name, first) for name in _SHARED_ATTRS), ("n_subjects", of_member)]:
            value, expected = recording.attrs.get(name), recordings[other].attrs.get(name)
            if value != expected:
                raise SampleMismatch(f"{path} has {name} {value} and {other} {expected}; runs of a group must share it")


def _check_listed_once(pairs: Sequence[tuple[Path, Activations]]) -> None:
    seen = set()
    for path, layers in pairs:
        stimulus = layers.attrs["stimulus"]
        if (path, stimulus) in seen:
            raise SampleMismatch(f"{path} is in the group twice with stimulus '{stimulus}'; list each stimulus once")
        seen.add((path, stimulus))


def _scan(path: Path, recording: xr.Dataset, columns: np.ndarray, n_bytes: int) -> _Scan:
    """Read a recording's responses once, block by block, and check them against what it states."""
    n_repeats, n_samples, n_targets = recording["responses"].shape
    heard = np.zeros((n_repeats, n_samples), bool)
    n_missing, first_missing = np.zeros((2, n_samples), int)
    odd = np.zeros(n_targets, bool)
    for block in blocks_of_samples(recording, n_bytes):
        present = np.isfinite(read_samples(recording, path, "responses", block))
        stated = read_samples(recording, path, "n_repeats", block)
        odd |= (present.sum(axis=0, dtype=np.int32) != stated).any(axis=0)
        heard[:, block] = present[:, :, columns].any(axis=2)
        missing = stated[:, columns] < 1
        n_missing[block] = missing.sum(axis=1)
        first_missing[block] = columns[missing.argmax(axis=1)]
    check_counts(recording, odd, path)
    return _Scan(heard, n_missing, first_missing)


def _check_responses(path: Path, recording: xr.Dataset, shown: np.ndarray, scan: _Scan) -> None:
    missing = np.flatnonzero((scan.n_missing > 0) & shown)
    if missing.size:
        sample = missing[0]
        raise SampleMismatch(
            f"{path}: target '{recording['target'].values[scan.first_missing[sample]]}' has no repeat of sample "
            f"{sample} ({scan.n_missing[missing].sum()} responses are missing); drop such samples or targets in prepare"
        )


def _check_same_samples(first: Member, member: Member) -> None:
    """Members are stacked, so each must have the runs of the first, in their order."""
    remedy = "members of a group must have seen the same stimuli in the same order"
    files = f"{member.runs[0].path} (member '{member.name}')", f"{first.runs[0].path} (member '{first.name}')"
    if len(member.runs) != len(first.runs):
        raise SampleMismatch(
            f"{files[0]} has {len(member.runs)} runs in all and {files[1]} {len(first.runs)}; {remedy}"
        )
    for run, expected in zip(member.runs, first.runs, strict=True):
        odd = _difference(run.samples, expected.samples)
        if odd:
            raise SampleMismatch(
                f"run '{run.name}' of {run.path} (member '{member.name}') has {odd[0]} and run '{expected.name}' of "
                f"{expected.path} (member '{first.name}') {odd[1]}; {remedy}"
            )


def _difference(samples: Samples, expected: Samples) -> tuple[str, str] | None:
    """What two runs presented at the first place where they differ."""
    if samples.n != expected.n:
        return f"{samples.n} samples", str(expected.n)
    odd = np.flatnonzero(samples.stimulus != expected.stimulus)
    if odd.size:
        return f"stimulus '{samples.stimulus[odd[0]]}'", f"'{expected.stimulus[odd[0]]}'"
    if samples.kind == "item":
        odd = np.flatnonzero(samples.items() != expected.items())
        return (f"item '{samples.items()[odd[0]]}'", f"'{expected.items()[odd[0]]}'") if odd.size else None
    odd = np.flatnonzero(np.abs(samples.clock() - expected.clock()) > SAME_CLOCK * samples.interval_s)
    if not odd.size:
        return None
    return f"time_s {samples.clock()[odd[0]]:g} s in sample {odd[0]}", f"{expected.clock()[odd[0]]:g} s"


def _check_unique_targets(members: Sequence[Member]) -> None:
    owner: dict[str, Member] = {}
    for member in members:
        for target in member.targets["target"].tolist():
            if target in owner:
                raise SampleMismatch(
                    f"target '{target}' is in {member.runs[0].path} (member '{member.name}') and "
                    f"{owner[target].runs[0].path} (member '{owner[target].name}'); give them different names"
                )
            owner[target] = member


def _shown(path: Path, recording: xr.Dataset, layers: Activations) -> np.ndarray:
    """Which samples show what the activations are to, and are no grey screen: bool of shape (n_samples,)."""
    shown = np.ones(recording.sizes["sample"], bool)
    if "blank" in recording.variables:
        shown = recording["blank"].values != 1
    if not shown.any():
        raise SampleMismatch(f"{path} holds nothing but blanks; leave it out of the group")
    kind = recording.attrs["sample_kind"]
    if kind != layers.sample_kind:
        raise SampleMismatch(
            f"{path} has samples of kind '{kind}' and {layers.path} '{layers.sample_kind}'; "
            "prepare both from one stimulus"
        )
    stimulus = recording["stimulus"].values.astype(str)
    wanted = shown & (stimulus == layers.attrs["stimulus"])
    if not wanted.any():
        raise SampleMismatch(
            f"{path} was recorded with stimulus '{', '.join(np.unique(stimulus[shown]))}', but {layers.path} is of "
            f"'{layers.attrs['stimulus']}'; give both the same stimulus"
        )
    return np.asarray(wanted)


def _n_repeats(heard: np.ndarray) -> int:
    """Repeats up to the last that holds anything; a stimulus with fewer than another is filled up with NaN."""
    return next((n for n in range(len(heard), 0, -1) if heard[n - 1].any()), 0)


def _samples(recording: xr.Dataset, rows: np.ndarray, label: str, layers: Activations) -> Samples:
    """What was presented in some samples of a recording."""
    in_time = recording.attrs["sample_kind"] == "time"
    contents = layers.contents()
    if in_time:
        content = np.full(rows.size, contents[0])
    else:
        of_item = dict(zip(layers.clock().tolist(), contents.tolist(), strict=True))
        content = np.array([of_item.get(name, "") for name in recording["item"].values[rows].astype(str).tolist()])
    return Samples(
        kind="time" if in_time else "item",
        run=np.full(rows.size, label),
        stimulus=recording["stimulus"].values[rows].astype(str),
        interval_s=float(recording.attrs.get("sample_interval_s", 0.0)),
        time_s=recording["time_s"].values[rows].astype(np.float64) if in_time else None,
        item=None if in_time else recording["item"].values[rows].astype(str),
        category=recording["category"].values[rows].astype(str) if "category" in recording.variables else None,
        content=content,
    )


def _text(values: np.ndarray) -> np.ndarray:
    return values.astype(str) if values.dtype.kind in "OUS" else values
