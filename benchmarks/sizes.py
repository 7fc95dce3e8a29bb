"""How much is measured: in full, quickly, or only to see that it runs."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Parameters
    ----------
    rounds : of each comparison, whose median is given
    pictures, clips : of the ratios; at least two clips, as a single one is a recording on a clock
    windows : per stride, of full length
    few, many : pictures whose memory is compared
    peers : pictures for the comparison with thingsvision
    """

    rounds: int = 5
    pictures: int = 500
    clips: int = 20
    windows: int = 8
    few: int = 500
    many: int = 5000
    peers: int = 96


QUICK = Sizes(rounds=3, pictures=96, clips=4, windows=2, few=100, many=1000, peers=32)
TINY = Sizes(rounds=2, pictures=8, clips=2, windows=1, few=16, many=64, peers=4)
