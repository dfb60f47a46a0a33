"""A model from the Hub: its revision pinned to a commit, its files in the standard cache."""

from __future__ import annotations

from pathlib import Path

from promptmill.hub.errors import hub_errors

# What transformers needs to load a model; other formats of the same weights stay on the Hub.
_NEEDED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.tiktoken")


def resolve_commit(repo: str, revision: str | None) -> str:
    """The commit that `revision` (default: main) of a model stands for now.

    Raises:
        AccessDenied, NotFound, HubUnavailable: see `hub_errors`.
    """
    from huggingface_hub import HfApi

    with hub_errors(repo):
        return str(HfApi().model_info(repo, revision=revision).sha)


def download_model(repo: str, commit: str) -> Path:
    """Download what is missing of a model at `commit` into the Hugging Face cache; returns its folder.

    Raises:
        AccessDenied, NotFound, HubUnavailable: see `hub_errors`.
    """
    from huggingface_hub import snapshot_download

    with hub_errors(repo):
        return Path(snapshot_download(repo, revision=commit, allow_patterns=list(_NEEDED)))
