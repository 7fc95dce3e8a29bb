"""What the PyTorch networks share: strict loading of safetensors, twins, and reproducible forward passes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact
from pipeline.core.torch_device import choose_device
from pipeline.models.convert.checkpoint import WEIGHTS_FILE
from pipeline.models.torch.hooked_network import HookedNetwork

if TYPE_CHECKING:
    import torch

    from pipeline.models.entry import ModelEntry, Twin
    from pipeline.models.torch.hooked_network import Presenter
    from pipeline.models.torch.hooks import Tap


def weights_file(weights_folder: Path | None, model: str) -> Path:
    """The fetched safetensors of a model; raises `BrokenArtifact` with the remedy if they are not there."""
    path = None if weights_folder is None else weights_folder / WEIGHTS_FILE
    if path is None or not path.is_file():
        raise BrokenArtifact(f"weights of {model} are missing ({path}); fetch them with: snakemake fetch")
    return path


def load_weights(module: torch.nn.Module, weights_folder: Path | None, model: str) -> None:
    """Load a module's safetensors strictly: every key must be there, and none may be left over.

    Raises
    ------
    BrokenArtifact
        The file is missing, damaged, or holds other tensors than the network needs.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = weights_file(weights_folder, model)
    remedy = "delete its folder and run: snakemake fetch"
    try:
        module.load_state_dict(load_file(path), strict=True)
    except SafetensorError as error:
        raise BrokenArtifact(f"{path} cannot be read as safetensors ({error}); {remedy}") from error
    except RuntimeError as error:
        raise BrokenArtifact(f"{path} does not hold the tensors of {model} ({error}); {remedy}") from error


def assemble(
    entry: ModelEntry,
    module: torch.nn.Module,
    taps: Mapping[str, Tap],
    presenter: Presenter,
    *,
    twin: Twin | None,
    device: str,
    calibration_batch: int = 64,
    calibration: str | None = None,
) -> HookedNetwork:
    """A network ready to be shown stimuli; a twin gets other weights and its normalisation statistics anew.

    Parameters
    ----------
    module : with its trained weights, on the CPU
    calibration_batch : samples per pass while batch statistics are recomputed
    calibration : modality of the stimuli for that; None: images for networks that take them
    """
    from pipeline.models.calibration import calibration_stimulus
    from pipeline.models.torch.twins import has_batch_statistics, recompute_normalisation, replace_weights

    chosen = choose_device(device)
    if twin is not None:
        replace_weights(module, twin)
        if has_batch_statistics(module):
            import torch

            shown = HookedNetwork(entry.name, module, {}, presenter, torch.device("cpu"))
            modality = "images" if "images" in entry.modalities else entry.modalities[0]
            stimulus = calibration_stimulus(calibration or modality)
            recompute_normalisation(module, lambda: shown.show(stimulus, calibration_batch))
    return HookedNetwork(entry.name, module, taps, presenter, chosen)
