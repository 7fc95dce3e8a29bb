"""A convolutional network of video with lateral and top-down connections in time, and its feed-forward twin.

Each of its layers is driven by the layer below in the same frame, and by itself (lateral) and the layer above
(top-down) in the frame before; stretches of video begin from nothing. The **feed-forward twin** has the same kernels,
but lateral and top-down ones follow the driving one as further layers within the frame: equal parameters, equal passes
through each kernel, no memory of earlier frames. What only the recurrent one can do is owed to its connections in time.
Written for layermap, after the idea of unrolled recurrence in Nayebi et al. 2018, NeurIPS, and Kietzmann et al. 2019,
PNAS 116:21854. Importing this module imports torch.
"""

from __future__ import annotations

import torch
from torch import nn

from pipeline.models.networks.two_pathway_module import ClipEncoder
from pipeline.models.torch.hooks import Tap

N_LAYERS = 3
WEAK = 0.5
"""Lateral and top-down kernels begin with this share of the usual size, so that loops neither grow nor ring."""


class Stem(nn.Module):
    """Each frame by itself, to a quarter of its size: (n, 3, y, x) → (n, width, y / 4, x / 4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 5, stride=2, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.pool(torch.relu(self.norm(self.conv(frames))))
        return maps


class Layer(nn.Module):
    """The kernels of one layer.

    Parameters
    ----------
    has_above : whether there is a layer above that has connections to it
    """

    def __init__(self, width: int, has_above: bool) -> None:
        super().__init__()
        self.below = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(1, width)
        self.lateral = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.above = nn.Conv2d(width, width, 3, padding=1, bias=False) if has_above else None
        for weak in (self.lateral, self.above):
            if weak is not None:
                with torch.no_grad():
                    weak.weight.mul_(WEAK)

    def forward(self, maps: torch.Tensor, own: torch.Tensor, above: torch.Tensor) -> torch.Tensor:
        """State of this frame, from the layer below now, and from itself and the layer above before."""
        state = self.norm(self.below(maps)) + self.lateral(own)
        return torch.relu(state if self.above is None else state + self.above(above))

    def within_the_frame(self, maps: torch.Tensor) -> torch.Tensor:
        """The twin: one kernel after another."""
        state = torch.relu(self.norm(self.below(maps)))
        state = torch.relu(state + self.lateral(state))
        return state if self.above is None else torch.relu(state + self.above(state))


class RecurrentConv(ClipEncoder):
    """Clips (n, 3, frames, y, x) to features (n, width).

    Parameters
    ----------
    width : channels of every layer
    recurrent : False makes the feed-forward twin
    """

    def __init__(self, width: int = 32, recurrent: bool = True) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.stem = Stem(width)
        self.layers = nn.ModuleList(Layer(width, number + 1 < N_LAYERS) for number in range(N_LAYERS))
        # where layers are looked at: all frames of a stretch at once
        self.seen = nn.ModuleDict({name: nn.Identity() for name in self._names()})

    @staticmethod
    def _names() -> tuple[str, ...]:
        return ("stem", *(f"layer{number + 1}" for number in range(N_LAYERS)))

    def maps(self, clips: torch.Tensor) -> torch.Tensor:
        n, n_frames = len(clips), clips.shape[2]
        frames = self.stem(clips.transpose(1, 2).flatten(0, 1))
        if self.recurrent:
            states = self._unrolled(frames.unflatten(0, (n, n_frames)))
        else:
            states = [frames]
            for layer in self.layers:
                states.append(layer.within_the_frame(states[-1]))  # type: ignore[operator]
            states = [state.unflatten(0, (n, n_frames)) for state in states]
        for name, state in zip(self._names(), states, strict=True):
            last: torch.Tensor = self.seen[name](state.transpose(1, 2))
        return last

    def _unrolled(self, frames: torch.Tensor) -> list[torch.Tensor]:
        """States of the stem and of every layer, (n, frame, channel, y, x), frame after frame."""
        before = [torch.zeros_like(frames[:, 0]) for _ in range(N_LAYERS)]
        kept: list[list[torch.Tensor]] = [[] for _ in range(N_LAYERS)]
        for frame in frames.unbind(1):
            maps, now = frame, []
            for number, layer in enumerate(self.layers):
                maps = layer(maps, before[number], before[min(number + 1, N_LAYERS - 1)])
                now.append(maps)
                kept[number].append(maps)
            before = now
        return [frames, *(torch.stack(states, 1) for states in kept)]

    def taps(self) -> dict[str, Tap]:
        """``stem`` and ``layer1`` to ``layer3``, (stretch, channel, frame, y, x)."""
        return {name: Tap(f"seen.{name}") for name in self._names()}
