"""How passes are run: the next one prepared meanwhile, without chance, and what to do where memory runs out."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
_END = object()


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def prefetched(items: Iterable[Item], depth: int = 1) -> Generator[Item, None, None]:
    """Iterate over ``items`` in a thread of its own, at most ``depth`` items ahead, in their order.

    What the iteration raises is raised here. When the consumer stops early, the thread ends at its next item.
    """
    waiting: queue.Queue[Any] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def hand_over(item: Any) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for item in items:
                if not hand_over(item):
                    return
        except BaseException as error:  # handed to the consumer, who knows what to do
            hand_over(_Failed(error))
            return
        hand_over(_END)

    thread = threading.Thread(target=run, name="prefetch", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        stopped.set()
        thread.join()


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; torch has no error of its own for that on the CPU."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "not enough memory" in str(error) or "can't allocate memory" in str(error)


def give_memory_back(device: torch.device) -> None:
    """What a failed pass has left: its tensors hang on the error's traceback, which is part of a cycle."""
    import gc

    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextlib.contextmanager
def reproducible_inference() -> Iterator[None]:
    """No gradients, deterministic kernels, full float32 products; the settings found are put back."""
    import torch

    memory: Any = torch.utils.deterministic
    deterministic = torch.get_deterministic_debug_mode()
    fill = memory.fill_uninitialized_memory
    tf32 = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    torch.set_deterministic_debug_mode(
        "warn"
    )  # the same as use_deterministic_algorithms, which imports a compiler (2 s)
    memory.fill_uninitialized_memory = False  # costs time, changes no number
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_deterministic_debug_mode(deterministic)
        memory.fill_uninitialized_memory = fill
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = tf32
