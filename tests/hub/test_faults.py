"""Each fault that the hub can be told to make, as the real client meets it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants, get_session
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx

from tests.hub import (
    Corrupt,
    Fault,
    HubServer,
    LoseAnswer,
    Match,
    ResetDownload,
    ResetUpload,
    Slow,
    Stall,
    Status,
    Truncate,
)
from tests.hub.effects import Effect

pytestmark = pytest.mark.long

TOKEN = "hf_alice"
WEIGHTS = bytes(range(256)) * 2000


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub with one user who may write, alice."""
    with HubServer() as server:
        server.add_user("alice", token=TOKEN)
        yield server


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    """Alice's client."""
    return HfApi(endpoint=hub.url, token=TOKEN)


@pytest.fixture
def over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transfers without Xet, inside this process, in pieces small enough to be resumed."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's pauses before it tries again, cut short (the faults' own waits are not `time.sleep`)."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)


def seen(hub: HubServer, origin: str, path: str, method: str = "GET") -> list[int | None]:
    """Statuses of the requests to an origin whose path contains the text."""
    return [r.status for r in list(hub.requests) if r.origin == origin and r.method == method and path in r.path]


def download(api: HfApi, folder: Path) -> bytes:
    """The model's weights, as the client gets them."""
    return Path(api.hf_hub_download("lab/model", "model.safetensors", cache_dir=folder)).read_bytes()


def test_status_fault_strikes_the_requests_it_was_ordered_for(hub: HubServer, api: HfApi) -> None:
    """After the skipped ones, the next n matching requests fail, and no others."""
    fault = hub.fail(Fault(Status(503, retry_after=7), Match("whoami", "GET", "hub"), times=2, skip=1))
    url, headers = f"{hub.url}/api/whoami-v2", {"Authorization": f"Bearer {TOKEN}"}
    answers = [get_session().get(url, headers=headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert fault.hits == 2
    assert api.repo_exists("lab/nothing") is False


def test_client_tries_again_after_a_server_error(hub: HubServer, api: HfApi) -> None:
    """preupload is retried by the client itself."""
    hub.add_model("alice/model")
    hub.fail(Fault(Status(500), Match("/preupload/"), times=2))
    api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="alice/model")
    assert seen(hub, "hub", "/preupload/", "POST") == [500, 500, 200]


def test_truncated_download_goes_on_where_it_stopped(
    hub: HubServer, api: HfApi, over_http: None, tmp_path: Path
) -> None:
    """The client asks for the rest with a Range, from the last whole piece that it has written."""
    hub.add_model("lab/model", {"model.safetensors": WEIGHTS})
    hub.fail(Fault(Truncate(220_000), Match("/repos/", origin="cdn")))
    assert download(api, tmp_path) == WEIGHTS
    assert seen(hub, "cdn", "/repos/") == [200, 206]
    assert [r.sent for r in hub.requests if r.origin == "cdn"] == [220_000, len(WEIGHTS) - 200_000]


def test_reset_download_fails(hub: HubServer, api: HfApi, over_http: None, tmp_path: Path) -> None:
    """The client takes a reset inside a body for final; the next call starts again from nothing."""
    hub.add_model("lab/model", {"model.safetensors": WEIGHTS})
    hub.fail(Fault(ResetDownload(200_000), Match("/repos/", origin="cdn")))
    with pytest.raises(httpx.ReadError):
        download(api, tmp_path)
    assert download(api, tmp_path) == WEIGHTS
    assert seen(hub, "cdn", "/repos/") == [200, 200]


def test_corrupted_download_reaches_the_client_unnoticed(
    hub: HubServer, api: HfApi, over_http: None, tmp_path: Path
) -> None:
    """One byte differs, and plain HTTP does not tell."""
    hub.add_model("lab/model", {"model.safetensors": WEIGHTS})
    hub.fail(Fault(Corrupt(at=1000), Match("/repos/", origin="cdn")))
    got = download(api, tmp_path)
    assert [index for index in range(len(WEIGHTS)) if got[index] != WEIGHTS[index]] == [1000]


def test_corrupted_xorb_reaches_the_client_unnoticed(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    """hf_xet does not compare hashes either."""
    hub.state.settings.xet_for_added = True
    hub.add_model("lab/model", {"model.safetensors": WEIGHTS})
    hub.fail(Fault(Corrupt(at=1008), Match("/xorbs/", origin="cdn")))
    got = download(api, tmp_path)
    assert [index for index in range(len(WEIGHTS)) if got[index] != WEIGHTS[index]] == [1000]


@pytest.mark.filterwarnings("ignore:Use 'content=")  # the client's own, of every LFS upload
def test_reset_upload_is_sent_again(hub: HubServer, api: HfApi, over_http: None) -> None:
    """An LFS upload that breaks off half-way is repeated whole; what was received of both counts."""
    hub.add_model("alice/model")
    hub.fail(Fault(ResetUpload(100_000), Match("/lfs/", "PUT", "cdn")))
    api.upload_file(path_or_fileobj=WEIGHTS, path_in_repo="a.bin", repo_id="alice/model")
    assert hub.files("alice/model") == {"a.bin": WEIGHTS}
    assert seen(hub, "cdn", "/lfs/", "PUT") == [None, 200]
    assert len(WEIGHTS) + 100_000 <= hub.uploaded() < 2 * len(WEIGHTS)


@pytest.mark.filterwarnings("ignore:Use 'content=")
def test_corrupted_upload_is_refused(hub: HubServer, api: HfApi, over_http: None) -> None:
    """Storage compares the digest, and no commit is made."""
    hub.add_model("alice/model")
    hub.fail(Fault(Corrupt(at=5, in_upload=True), Match("/lfs/", "PUT")))
    with pytest.raises(RuntimeError, match="Error while uploading"):
        api.upload_file(path_or_fileobj=WEIGHTS, path_in_repo="a.bin", repo_id="alice/model")
    assert hub.files("alice/model") == {}


def test_lost_answer_leaves_the_commit_made(hub: HubServer, api: HfApi) -> None:
    """The client sees a broken connection though its commit is there."""
    hub.add_model("alice/model")
    hub.fail(Fault(LoseAnswer(), Match("/commit/", "POST")))
    with pytest.raises(Exception, match="disconnected"):
        api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="alice/model")
    assert hub.files("alice/model") == {"a.txt": b"x"}


def test_upload_folder_commits_again_after_a_lost_answer(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    """upload_folder does try its commit again: a second commit of the same, or 412 where a parent was named."""
    first = hub.add_model("alice/model")
    (tmp_path / "a.txt").write_text("x")
    hub.fail(Fault(LoseAnswer(), Match("/commit/", "POST"), times=2))
    api.upload_folder(repo_id="alice/model", folder_path=tmp_path)
    assert len(hub.commits("alice/model")) == 4
    hub.move("alice/model", first)
    hub.fail(Fault(LoseAnswer(), Match("/commit/", "POST")))
    with pytest.raises(HfHubHTTPError, match="412"):
        api.upload_folder(repo_id="alice/model", folder_path=tmp_path, parent_commit=first)
    assert hub.files("alice/model") == {"a.txt": b"x"}


@pytest.mark.parametrize("after", [None, 2], ids=["before-the-answer", "in-the-body"])
def test_stalled_answer_runs_into_the_clients_timeout(hub: HubServer, after: int | None) -> None:
    """Silence before the answer or inside it, until the client gives up."""
    hub.add_model("lab/model", {"a.txt": "hello"})
    hub.fail(Fault(Stall(30, after_bytes=after)))
    with pytest.raises(Exception, match="timed out"):
        get_session().get(f"{hub.url}/lab/model/resolve/main/a.txt", timeout=0.2)


def test_slow_transfer_takes_its_time(hub: HubServer) -> None:
    """The body passes at the ordered rate."""
    hub.add_model("lab/model", {"a.txt": "x" * 20_000})
    hub.fail(Fault(Slow(bytes_per_second=100_000)))
    start = time.perf_counter()
    assert len(get_session().get(f"{hub.url}/lab/model/resolve/main/a.txt").content) == 20_000
    assert 0.18 <= time.perf_counter() - start < 2


def test_faults_can_be_called_off(hub: HubServer) -> None:
    """A fault without an end lasts until the hub is healed."""
    hub.add_model("lab/model", {"a.txt": "x"})
    hub.fail(Fault(Status(429), times=None))
    url = f"{hub.url}/lab/model/resolve/main/a.txt"
    assert [get_session().get(url).status_code for _ in range(2)] == [429, 429]
    hub.heal()
    assert get_session().get(url).status_code == 200


@pytest.mark.parametrize(
    "effect", [Status(503), ResetUpload(100_000), LoseAnswer()], ids=["status", "reset", "lost-answer"]
)
def test_xet_upload_survives_a_fault_of_storage(hub: HubServer, api: HfApi, effect: Effect) -> None:
    """hf_xet tries again by itself."""
    hub.add_model("alice/model")
    fault = hub.fail(Fault(effect, Match("/v1/xorbs/", "POST", "cas")))
    data = os.urandom(300_000)
    api.upload_file(path_or_fileobj=data, path_in_repo="a.bin", repo_id="alice/model")
    assert {"a.bin": data} == hub.files("alice/model")
    assert fault.hits == 1
