"""How politely and how patiently servers are asked. None of it changes what is fetched."""

from __future__ import annotations

import random

from pydantic import BaseModel, ConfigDict, Field
from urllib3.exceptions import MaxRetryError
from urllib3.util import Retry

PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be others a moment later, to questions of any method."""
LONGEST_WAIT_S = 300.0
"""A server may ask for more patience than anybody has."""


class Patience(Retry):
    """How often one address is asked again, and after which pauses; the counting is urllib3's.

    The loops are those of who asks: a download goes on where it stopped and counts anew after every byte that came,
    and what counts as a failure is known only there.

    Parameters
    ----------
    total : attempts after the first one
    backoff_factor, backoff_max : first and longest pause in s, which doubles each time; urllib3 itself would not pause
        before the second attempt
    backoff_jitter : share of a pause by which it is longer or shorter, at random
    """

    def after(self, failure: Exception) -> Patience | None:
        """What is left after one more failure in a row; None where that was the last attempt."""
        try:
            return self.increment(error=failure)
        except MaxRetryError:
            return None

    def pause_s(self, asked_s: float = 0.0) -> float:
        """Pause in s before the next attempt, after at least one that failed.

        Parameters
        ----------
        asked_s : how long the server asked to be left alone, in s
        """
        pause_s = min(self.backoff_factor * 2 ** (len(self.history) - 1), self.backoff_max)
        pause_s *= random.uniform(1 - self.backoff_jitter, 1 + self.backoff_jitter)
        return max(pause_s, min(asked_s, LONGEST_WAIT_S))


class FetchSettings(BaseModel):
    """Connections, patience and politeness of a fetch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connections: int = Field(default=4, ge=1, le=32, description="files that are fetched at the same time")
    connections_per_host: int = Field(default=2, ge=1, le=16, description="of these, at most so many from one host")
    retries: int = Field(
        default=5, ge=0, description="attempts in a row that may fail without a new byte before giving up"
    )
    back_off_s: float = Field(
        default=1.0, ge=0, description="pause before the first retry in s; doubles each time, ± half"
    )
    back_off_limit_s: float = Field(default=60.0, ge=0, description="longest pause between two attempts in s")
    connect_timeout_s: float = Field(default=20.0, gt=0, description="longest wait for a connection in s")
    stall_timeout_s: float = Field(default=30.0, gt=0, description="longest wait for the next byte in s before a retry")
    lock_wait_s: float = Field(
        default=6 * 3600.0, ge=0, description="longest wait for another run with the same file in s"
    )
    most_bytes: int = Field(
        default=200_000_000_000,
        ge=0,
        description="most bytes of a file whose size nobody publishes; one whose server does not tell it either "
        "takes at most half of the free disk",
    )
    link_from_bytes: int | None = Field(
        default=None,
        ge=0,
        description="files of this size or more are symbolic links into a mirror folder, which then has to stay; "
        "by default everything is copied",
    )

    @property
    def patience(self) -> Patience:
        return Patience(
            total=self.retries, backoff_factor=self.back_off_s, backoff_max=self.back_off_limit_s, backoff_jitter=0.5
        )
