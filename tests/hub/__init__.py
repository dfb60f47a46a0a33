"""A local Hugging Face Hub for tests: the real clients talk to it over HTTP, faults included.

It answers for three origins, each on a port of its own: `hub` (the API and small files), `cdn` (signed
URLs of large files, where a token must never be sent) and `cas` (the Xet storage service).
"""

from tests.hub.effects import (
    Corrupt,
    LoseAnswer,
    ResetDownload,
    ResetUpload,
    Slow,
    Stall,
    Status,
    Truncate,
)
from tests.hub.faults import Fault, Match
from tests.hub.messages import LoggedRequest
from tests.hub.server import HubServer
from tests.hub.state import Settings

__all__ = [
    "Corrupt",
    "Fault",
    "HubServer",
    "LoggedRequest",
    "LoseAnswer",
    "Match",
    "ResetDownload",
    "ResetUpload",
    "Settings",
    "Slow",
    "Stall",
    "Status",
    "Truncate",
]
