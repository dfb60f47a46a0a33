"""Answers of the Hub that mean no, with the headers that huggingface_hub turns into its exceptions."""


class HubError(Exception):
    """An error answer: `code` becomes `X-Error-Code`, the message `X-Error-Message` and the body's `error`."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}


def repository_not_found(*, anonymous: bool) -> HubError:
    """Unknown, or private and not to be told: 401 without a token, 404 with one, as on the Hub."""
    if anonymous:
        return HubError(401, "Invalid username or password.", code="RepoNotFound")
    return HubError(404, "Repository not found", code="RepoNotFound")


def revision_not_found(revision: str) -> HubError:
    """No branch, tag or commit of this name."""
    return HubError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")


def entry_not_found(path: str, commit: str) -> HubError:
    """The commit is named so that the client can remember that the file is absent from it."""
    return HubError(404, f"{path} does not exist", code="EntryNotFound", headers={"X-Repo-Commit": commit})
