"""What of a checkpoint's own configuration reaches the library that builds the network.

A configuration says what a network is. What it says of how to run it (which code computes its attention, in which
precision, with whose quantiser) is left out: some of it makes the library fetch code from the hub and import it, and
activations are float32 by the library's own layers in any case.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_HOW_IT_RUNS = (
    *("attn_implementation", "experts_implementation", "use_kernels", "kernel_config"),
    *("quantization_config", "compression_config", "dtype", "torch_dtype"),
    *("auto_map", "trust_remote_code", "custom_pipelines", "distributed_config"),
)


def what_it_is(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those that say how a network is run, at any depth; private ones are the library's own."""
    return {
        key: what_it_is(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if key not in _HOW_IT_RUNS and not str(key).startswith("_")
    }


def keep_library_offline() -> None:
    """Nothing is downloaded while a network is built or runs; before the library is imported, which asks once."""
    os.environ.update(dict.fromkeys(OFFLINE, "1"))
