"""How politely and how patiently files are fetched. None of it changes what is fetched."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


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
