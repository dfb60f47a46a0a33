"""What the Hub client raises, told apart by type and turned into errors with a way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from promptmill.errors import AccessDenied, ConfigurationError, HubUnavailable, NotFound

_LOGIN = "log in with `hf auth login` or set HF_TOKEN"


@contextmanager
def hub_errors(repo: str, kind: str = "model") -> Iterator[None]:
    """Translate the client's exceptions about the repository `repo` of `kind` (model, dataset).

    Raises:
        AccessDenied: the Hub says no: gated, or the token may not do this.
        NotFound: there is no such repository or revision (or the token may not see it).
        HubUnavailable: the Hub does not answer, or is not to be asked.
        ConfigurationError: the repository's id is malformed.
    """
    import httpx2
    from huggingface_hub import errors as client

    try:
        yield
    except client.HFValidationError as error:
        raise ConfigurationError(
            f"{repo!r} is not a repository id; write it as `name` or `owner/name`. ({error})"
        ) from error
    except client.GatedRepoError as error:
        raise AccessDenied(
            f"The {kind} {repo} is gated and this account may not read it yet. Open {_page(repo, kind)}, "
            f"accept its terms (or wait for the owner to grant the request), and {_LOGIN} with that account."
        ) from error
    except client.RepositoryNotFoundError as error:
        raise NotFound(
            f"The Hub at {_endpoint()} has no {kind} {repo}, or this account may not see it. "
            f"Check the spelling; if it is private, {_LOGIN}. "
            f"A local folder is given by its path, as in ./{repo.split('/')[-1]}."
        ) from error
    except client.RevisionNotFoundError as error:
        raise NotFound(f"The {kind} {repo} has no such revision; look at {_page(repo, kind)}/tree/main.") from error
    except client.OfflineModeIsEnabled as error:
        raise HubUnavailable(
            f"HF_HUB_OFFLINE is set and {repo} is not on this disk yet. Fetch it where there is internet "
            "(the login node), or unset HF_HUB_OFFLINE."
        ) from error
    except client.HfHubHTTPError as error:
        raise _of_status(error, repo, kind) from error
    except (httpx2.TransportError, ConnectionError) as error:
        raise HubUnavailable(
            f"The Hub at {_endpoint()} does not answer ({type(error).__name__}). Compute nodes often have no internet: "
            "run the same command once on the login node, or set HF_ENDPOINT to the Hub you use."
        ) from error


def _of_status(error: Exception, repo: str, kind: str) -> Exception:
    response = getattr(error, "response", None)
    status = response.status_code if response is not None else 0
    if status in (401, 403):
        return AccessDenied(
            f"The Hub refuses access to the {kind} {repo} (HTTP {status}). The token is missing, invalid, expired or "
            f"not allowed to do this: {_LOGIN}; to publish, it has to be a write token."
        )
    return HubUnavailable(
        f"The Hub at {_endpoint()} answers HTTP {status} for the {kind} {repo}. Start the same command again later."
    )


def _page(repo: str, kind: str) -> str:
    prefix = "datasets/" if kind == "dataset" else ""
    return f"{_endpoint()}/{prefix}{repo}"


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)
