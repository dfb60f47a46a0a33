"""Publishing a finished dataset folder as a dataset repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from promptmill.hub.errors import hub_errors


@dataclass(frozen=True)
class Published:
    """Where a dataset is on the Hub: the commit that holds exactly the local files."""

    repo: str
    commit: str
    url: str


def publish_dataset(folder: Path, repo: str, *, private: bool, message: str) -> Published:
    """Make the dataset repo hold exactly the files of `folder`; content that is there is not sent again.

    Raises:
        AccessDenied, NotFound, HubUnavailable: see `hub_errors`.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    with hub_errors(repo, "dataset"):
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            repo_type="dataset",
            commit_message=message,
            delete_patterns=["data/*.parquet"],
        )
        head = api.dataset_info(repo).sha
    url = f"{api.endpoint}/datasets/{repo}"
    return Published(repo, str(head or commit.oid), url)
