"""From the section ``networks`` of a study file to entries as the registry has them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.core.errors import BadConfiguration, LayermapError, UnknownName
from pipeline.core.module_files import find_module
from pipeline.core.section import file_of
from pipeline.fetch.weights.source import ExtraFile, WeightSource
from pipeline.formats.documents import read_object
from pipeline.models.convert.checkpoint import CONFIG_FILE, PREPROCESSOR_FILE
from pipeline.models.entry import ModelEntry
from pipeline.models.hub.families import FAMILIES, SHORTEST_S, STABLE, Family, family_of
from pipeline.models.hub.known import hub_entry
from pipeline.models.hub.own_factory import check_arguments
from pipeline.models.registry import MODELS, resolve_model
from pipeline.models.shown.present_pictures import IMAGENET_MEAN, IMAGENET_SD, Optics
from pipeline.recordings.file_digests import digests_of_files
from pipeline.study.networks import NetworkSection
from pipeline.study.study import Study

MOST_BLOCKS = 1000
"""Of a network, or of one of its stages."""
MOST_STAGES = 100
OWN_FACTORY = "pipeline.models.hub.own_network:load"
CHECKPOINT_SUFFIXES = (".json", ".safetensors", ".txt")
RECORDING_AHEAD = "last output step before the sample, of the window that ends look_ahead_s after it"
TITLES = ("title", "citation", "licence")


def entries_of(study: Study) -> dict[str, ModelEntry]:
    """Name → entry of a study's own networks.

    Raises
    ------
    BadConfiguration
        A base, hub name or family that does not exist, or a setting that does not apply; one line naming the key.
    """
    entries = {}
    for name, section in study.networks.items():
        if name in MODELS:
            raise BadConfiguration(f"networks: '{name}' is a network of the registry already; choose another name")
        entries[name] = _titled(_entry(name, section), section)
    return entries


@contextlib.contextmanager
def _about(key: str) -> Iterator[None]:
    """Errors name the key of the study file that they are about."""
    try:
        yield
    except LayermapError as error:
        raise BadConfiguration(f"{key}: {error}") from error


def _entry(name: str, section: NetworkSection) -> ModelEntry:
    if section.base is not None:
        with _about(f"networks.{name}.base"):
            return _adjusted(_of_base(name, section.base), section)
    if section.hub is not None:
        with _about(f"networks.{name}.hub"):
            return _adjusted(_of_hub(name, section.hub), section)
    if section.checkpoint is not None:
        with _about(f"networks.{name}.checkpoint"):
            return _adjusted(_of_checkpoint(name, Path(section.checkpoint)), section)
    if section.family is not None:
        with _about(f"networks.{name}.family"):
            return _adjusted(_of_family(name, section.family, section.config, section.seed), section)
    with _about(f"networks.{name}"):
        return _of_factory(name, section)


def _of_base(name: str, base: str) -> ModelEntry:
    found = resolve_model(base)
    if found.twin is not None:
        trained = found.entry.name
        raise BadConfiguration(f"'{base}' is a twin; take {trained} here and {name}@{found.twin.kind} among the models")
    return dataclasses.replace(found.entry, name=name, weights_of=found.entry.weights_of or found.entry.name)


def _of_family(name: str, family: str, given: dict[str, Any], seed: int) -> ModelEntry:
    if "words" in family_of(family, f"network '{name}'").modalities:
        raise BadConfiguration(
            f"an untrained {family} network has no tokenizer to read words with; take hub or checkpoint"
        )
    _check_settings(family, given)
    config = {**_depth_of(family), **given}
    _check_depth(config[FAMILIES[family].depth], f"config.{FAMILIES[family].depth}", FAMILIES[family])
    return hub_entry(
        name,
        family,
        config,
        objective="random",
        title=f"untrained {family} network",
        citation="—",
        licence="—",
        arguments={"seed": seed},
    )


def _check_depth(stated: object, what: str, family: Family) -> None:
    """Refuse a number of blocks that no network has: each becomes a layer of the entry.

    Raises
    ------
    BadConfiguration
        The message names the setting, ``what``.
    """
    in_stages = isinstance(_depth_of(family.model_type)[family.depth], list | tuple)
    n_blocks = stated if isinstance(stated, list | tuple) else [stated]
    if (
        isinstance(stated, list | tuple) != in_stages
        or not 1 <= len(n_blocks) <= MOST_STAGES
        or not all(type(n) is int and 1 <= n <= MOST_BLOCKS for n in n_blocks)
    ):
        expected = (
            f"a list of at most {MOST_STAGES} numbers of blocks, each" if in_stages else "how many blocks there are,"
        )
        raise BadConfiguration(f"{what} is {_brief(stated)}, expected {expected} from 1 to {MOST_BLOCKS}")


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _check_settings(family: str, given: dict[str, Any]) -> None:
    """Refuse settings that the family's configuration does not have: the library would take them in silence."""
    import transformers

    known = getattr(transformers, FAMILIES[family].config)().to_dict()
    for key in given:
        if key not in known:
            raise UnknownName(f"setting of {family}", key, known)


def _depth_of(family: str) -> dict[str, Any]:
    """The library's own depth, where a configuration does not say it."""
    import transformers

    of = FAMILIES[family]
    return {of.depth: getattr(getattr(transformers, of.config)(), of.depth)}


def _of_hub(name: str, hub: str) -> ModelEntry:
    for known in MODELS:
        entry = MODELS.get(known)
        if entry.hub == hub:
            return dataclasses.replace(entry, name=name, weights_of=entry.name)
    from pipeline.fetch.weights.pins import find_pin

    pin = find_pin(hub)
    return _published(
        name, pin.config, pin.preprocessor, f"'{hub}'", hub=hub, title=hub, page=f"https://huggingface.co/{hub}"
    )


def _of_checkpoint(name: str, folder: Path) -> ModelEntry:
    """A folder that ``save_pretrained`` left; its files are kept beside the weights."""
    files = sorted(path for path in folder.iterdir() if path.suffix in CHECKPOINT_SUFFIXES and path.is_file())
    digests = digests_of_files(files)
    main = folder / "model.safetensors"
    extra = tuple(
        ExtraFile("", path.name, digests[path], bytes=path.stat().st_size, path=str(path))
        for path in files
        if path != main
    )
    weights = WeightSource(sha256=digests[main], path=str(main), bytes=main.stat().st_size, extra_files=extra)
    preprocessor = folder / PREPROCESSOR_FILE
    stated = read_object(preprocessor, constants=True) if preprocessor.is_file() else {}
    entry = _published(
        name,
        read_object(folder / CONFIG_FILE, constants=True),
        stated,
        str(folder),
        hub="",
        title=f"{name} ({folder.name})",
        page="—",
    )
    return dataclasses.replace(entry, weights=weights, weights_of=f"{name}-{weights.sha256[:10]}")


def _published(
    name: str, config: dict[str, Any], preprocessor: dict[str, Any], what: str, *, hub: str, title: str, page: str
) -> ModelEntry:
    """The entry of a checkpoint as its own configurations describe it."""
    family = family_of(str(config.get("model_type", "")), what)
    if family.depth in config:
        _check_depth(config[family.depth], f"{family.depth} in the {CONFIG_FILE} of {what}", family)
    shown = {
        "mean": preprocessor.get("image_mean"),
        "sd": preprocessor.get("image_std"),
        "standardise": preprocessor.get("do_normalize"),
    }
    return hub_entry(
        name,
        family.model_type,
        {**_depth_of(family.model_type), **{key: config[key] for key in (family.depth, STABLE) if key in config}},
        hub=hub,
        objective=_objective_of(config),
        title=title,
        citation=page,
        licence="see its page on the hub" if hub else "the user's own",
        preprocessing={key: value for key, value in shown.items() if key in family.preprocessing and value is not None},
    )


def _objective_of(config: dict[str, Any]) -> str:
    """How a published checkpoint was trained, as far as its head says; empty where it has none."""
    stated = config.get("architectures") or ()
    if not isinstance(stated, list | tuple) or not all(isinstance(name, str) for name in stated):
        raise BadConfiguration(f"architectures in its {CONFIG_FILE} is {_brief(stated)}, expected a list of names")
    for name in stated:
        if name.endswith(("Classification", "ForCTC", "ConditionalGeneration", "XVector")):
            return "supervised"
        if name.endswith(("PreTraining", "MaskedImageModeling", "CausalLM", "LMHeadModel")):
            return "self-supervised"
    return ""


def _adjusted(entry: ModelEntry, section: NetworkSection) -> ModelEntry:
    for key in section.shown:
        if key not in entry.adjustable:
            raise BadConfiguration(
                f"{key} does not apply to this network; it takes {', '.join(entry.adjustable) or 'no settings'}"
            )
    return dataclasses.replace(entry, preprocessing=_with_look_ahead({**entry.preprocessing, **section.shown}))


def _with_look_ahead(shown: dict[str, Any]) -> dict[str, Any]:
    """What is shown of a recording, said rightly where a study lets a network hear beyond the sample.

    Raises
    ------
    BadConfiguration
        The look-ahead leaves no past within the window.
    """
    look_ahead_s = shown.get("look_ahead_s", 0.0)
    if not look_ahead_s:
        return shown
    longest_s = shown["window_s"] - shown.get("shortest_s", SHORTEST_S)
    if look_ahead_s > longest_s:
        raise BadConfiguration(
            f"look_ahead_s {look_ahead_s:g} leaves no past in a window of {shown['window_s']:g} s; "
            f"give {longest_s:g} at most"
        )
    return {**shown, "recording": RECORDING_AHEAD}


def _of_factory(name: str, section: NetworkSection) -> ModelEntry:
    factory = str(section.factory)
    file, function = file_of(factory), factory.rpartition(":")[2]
    if file is None:
        _check_installed(factory.rpartition(":")[0])
        check_arguments(factory, section.arguments)
    weights = _local_weights(section.weights)
    return ModelEntry(
        name=name,
        modalities=("audio",) if section.modality == "audio" else ("movie", "images"),
        objective="" if section.weights else "random",
        factory=OWN_FACTORY,
        layers=(),
        title=f"{name} ({f'{file.name}:{function}' if file else factory})",
        citation="the user's own network",
        licence="the user's own",
        preprocessing=_shown_to_own(section),
        weights=weights,
        weights_of=f"{name}-{weights.sha256[:10]}" if weights else "",
        arguments={
            "factory": f"{file.name}:{function}" if file else factory,
            "arguments": section.arguments,
            "seed": section.seed,
            "layers": [one.model_dump(mode="json") for one in section.layers],
            "input": section.input,
        },
        code=(file,) if file else (),
        twins=("random", "shuffled"),
    )


def _check_installed(module: str) -> None:
    if find_module(module) is None:
        raise BadConfiguration(f"factory: module '{module}' is not installed; install it, or take FILE.py:function")


def _shown_to_own(section: NetworkSection) -> dict[str, Any]:
    """What is shown to a network of one's own, and which settings apply to it."""
    given = section.shown
    if section.modality != "audio" and "look_ahead_s" in given:
        raise BadConfiguration(f"look_ahead_s does not apply to modality {section.modality}")
    if section.modality == "audio":
        shown: dict[str, Any] = {"sampling_rate_hz": 16_000, "window_s": 16.0, "stride_s": 1.0, "shortest_s": 0.1}
        shown |= {"standardise": False, "look_ahead_s": 0.0}
    else:
        shown = {**Optics(224, IMAGENET_MEAN, IMAGENET_SD).describe(), "look_ahead_s": 0.0}
        if section.modality == "movie":
            shown |= {"n_frames": 16, "frame_interval_s": 0.04, "time_axis": 2}
    for key in given:
        if key not in shown:
            raise BadConfiguration(f"{key} does not apply to modality {section.modality}")
    return _with_look_ahead({**shown, **given})


def _local_weights(path: str | None) -> WeightSource | None:
    if path is None:
        return None
    file = Path(path)
    convert = "" if file.suffix == ".safetensors" else "pipeline.models.convert.checkpoint:convert"
    return WeightSource(sha256=digests_of_files([file])[file], path=path, bytes=file.stat().st_size, convert=convert)


def _titled(entry: ModelEntry, section: NetworkSection) -> ModelEntry:
    """With what the study says of it."""
    given: dict[str, Any] = {key: getattr(section, key) for key in TITLES if getattr(section, key) is not None}
    if section.objective is not None:
        given["objective"] = section.objective
    elif not entry.objective:
        raise BadConfiguration(
            f"networks.{entry.name}: nothing says how it was trained; add objective: self-supervised or supervised"
        )
    return dataclasses.replace(entry, **given)
