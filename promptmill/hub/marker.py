"""The file in a dataset repository that says: promptmill made this, from a run of this fingerprint.

It is a part of the first commit, so that a publication that was interrupted knows its own again. It also holds
what the run was made from, for another run to tell how it differs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from promptmill.files import read_json
from promptmill.hub.remote import RemoteRepo, small_file
from promptmill.model import published_model
from promptmill.run import RunFolder, recorded_identity

MARKER = ".promptmill.json"
# What a repository has from the moment it is made on the Hub's page.
BORN_WITH = frozenset({".gitattributes", "README.md", "LICENSE"})
_FORMAT = 1
_SHOWN = 200

Origin = Mapping[str, Any]
"""What a run was made from: `settings` by name, `prompts` (`rows` and `sha256`), and what the settings stood for."""


def marker_content(fingerprint: str, origin: Origin | None = None) -> bytes:
    """The marker of a run."""
    about = {} if origin is None else {"origin": origin}
    return (json.dumps({"promptmill": _FORMAT, "fingerprint": fingerprint, **about}) + "\n").encode()


def read_marker(repo: str, remote: RemoteRepo) -> dict[str, Any]:
    """What the marker of a dataset repository says; nothing if it has none, or one that cannot be read.

    Raises:
        The exceptions of huggingface_hub; see `hub_errors`.
    """
    if MARKER not in remote.files:
        return {}
    try:
        value = json.loads(small_file(repo, remote, MARKER))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def origin_of(run: RunFolder) -> dict[str, Any]:
    """What a run is made from, as far as it is known by now, and as the world may read it."""
    settings = run.settings
    given: dict[str, Any] = {**settings.to_json(), "model": published_model(settings)}
    sampling = given.pop("sampling")
    origin: dict[str, Any] = {"settings": {name: _short(value) for name, value in {**given, **sampling}.items()}}
    prompts = read_json(run.prompts)
    if prompts is not None:
        origin["prompts"] = {"rows": prompts["prompts"]["rows"], "sha256": prompts["prompts"]["sha256"]}
    if run.identity.exists():
        identity = recorded_identity(run)
        origin["resolved"] = {
            "revision": identity.revision,
            "dtype": identity.dtype,
            "quantization": identity.quantization,
            "chat_template": identity.chat_template,
        }
    return origin


def _short(value: Any) -> Any:
    """The value, or of a long text its beginning and a digest: equal texts stay equal, and others different."""
    if not isinstance(value, str) or len(value) <= _SHOWN:
        return value
    return f"{value[:_SHOWN]}… (SHA-256 {hashlib.sha256(value.encode()).hexdigest()[:12]}…)"
