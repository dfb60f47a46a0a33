"""The local hub, seen through the real clients."""

import os
import socket
import subprocess
import sys
import time
import warnings
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationCopy, CommitOperationDelete, HfApi, constants, get_session, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from tests.hub import Fault, HubServer, Settings, Stall

pytestmark = pytest.mark.long

TOKEN = "hf_alice"
WEIGHTS = bytes(range(256)) * 2000  # half a megabyte that no codec mistakes for text


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub with one user who may write, alice."""
    with HubServer() as server:
        server.add_user("alice", token=TOKEN, orgs=["lab"])
        yield server


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    """Alice's client."""
    return HfApi(endpoint=hub.url, token=TOKEN)


@pytest.fixture
def over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transfers without Xet, inside this process."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


@pytest.fixture
def script(hub: HubServer, tmp_path: Path) -> Callable[..., str]:
    """Run Python code in a process whose libraries know this hub alone; returns what it printed."""

    def run(code: str, *arguments: object, xet: bool = True, home: str = "home", token: str | None = TOKEN) -> str:
        env = {**os.environ, **hub.environment(tmp_path / home, token=token, xet=xet)}
        command = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def seen(hub: HubServer, origin: str, path: str, method: str = "GET") -> list[int | None]:
    """Statuses of the requests to an origin whose path contains the text."""
    return [r.status for r in list(hub.requests) if r.origin == origin and r.method == method and path in r.path]


def download(hub: HubServer, folder: Path, repo_id: str = "lab/model", token: str | bool = False) -> dict[str, bytes]:
    """A snapshot's files, by path."""
    root = Path(snapshot_download(repo_id, cache_dir=folder, endpoint=hub.url, token=token))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# Reading


def test_hub_starts_within_fifty_milliseconds() -> None:
    """A test pays next to nothing for a hub of its own."""
    start = time.perf_counter()
    with HubServer():
        assert time.perf_counter() - start < 0.05


def test_hub_ends_at_once_while_a_request_stalls(hub: HubServer) -> None:
    """Ending the hub does not wait for the faults under way."""
    hub.fail(Fault(Stall(60)))
    with socket.create_connection(("127.0.0.1", int(hub.url.rpartition(":")[2]))) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
        while not hub.requests:
            time.sleep(0.001)
        start = time.perf_counter()
        hub.close()
        assert time.perf_counter() - start < 1
        assert client.recv(1) == b""


def test_snapshot_brings_small_files_and_redirected_large_ones(hub: HubServer, tmp_path: Path) -> None:
    """Small files come from the hub itself, a large one from the CDN it redirects to."""
    files = {"config.json": b"{}", "sub/notes.txt": b"hello", "model.safetensors": WEIGHTS}
    hub.add_model("lab/model", files)
    assert files == download(hub, tmp_path)
    assert seen(hub, "cdn", "/repos/") == [200]


def test_large_files_can_come_from_xet_storage(tmp_path: Path) -> None:
    """With the setting for it, files that a test added are fetched by hf_xet, chunk by chunk."""
    with HubServer(Settings(xet_for_added=True)) as hub:
        hub.add_model("lab/model", {"model.safetensors": WEIGHTS})
        assert download(hub, tmp_path) == {"model.safetensors": WEIGHTS}
        assert seen(hub, "cas", "/reconstructions/") == [200]
        assert seen(hub, "cdn", "/repos/") == []


def test_token_goes_to_the_hub_and_never_to_the_cdn(hub: HubServer, over_http: None, tmp_path: Path) -> None:
    """The client sends its token to the hub, and no token to the second origin, which would refuse it."""
    hub.add_model("lab/model", {"model.safetensors": WEIGHTS})
    download(hub, tmp_path, token=TOKEN)
    assert {f"Bearer {TOKEN}"} == {r.authorization for r in hub.requests if r.origin == "hub"}
    assert {None} == {r.authorization for r in hub.requests if r.origin == "cdn"}


def test_cdn_refuses_a_token(hub: HubServer) -> None:
    """A token that reaches a signed URL is an error, as it is in S3."""
    hub.add_model("lab/model", {"model.safetensors": WEIGHTS})
    url = f"{hub.url}/lab/model/resolve/main/model.safetensors"
    signed = get_session().head(url, follow_redirects=False).headers["Location"]
    assert get_session().get(signed, headers={"Authorization": "Bearer x"}).status_code == 400


def test_ranges_are_served_and_checked(hub: HubServer) -> None:
    """A Range gives 206 and those bytes, one behind the end 416."""
    hub.add_model("lab/model", {"a.txt": "0123456789"})
    url = f"{hub.url}/lab/model/resolve/main/a.txt"
    part = get_session().get(url, headers={"Range": "bytes=3-5"})
    assert (part.status_code, part.text, part.headers["Content-Range"]) == (206, "345", "bytes 3-5/10")
    assert get_session().get(url, headers={"Range": "bytes=-3"}).text == "789"
    assert get_session().get(url, headers={"Range": "bytes=10-"}).status_code == 416


def test_older_commits_stay_readable_when_main_moves(hub: HubServer, tmp_path: Path) -> None:
    """`main` names the newest commit, a commit's oid what it always named, and main can be moved back."""
    first = hub.add_model("lab/model", {"a.txt": "one"})
    second = hub.commit("lab/model", {"a.txt": "two"})
    api = HfApi(endpoint=hub.url, token=False)
    assert second == api.model_info("lab/model").sha
    old = api.hf_hub_download("lab/model", "a.txt", revision=first, cache_dir=tmp_path)
    assert Path(old).read_text() == "one"
    assert [second, first] == [commit.commit_id for commit in api.list_repo_commits("lab/model")]
    hub.move("lab/model", first)
    assert first == api.model_info("lab/model").sha


def test_branches_and_tags_name_commits(hub: HubServer, api: HfApi) -> None:
    """What the client makes is listed, can be read by, and can be removed."""
    first = hub.add_model("alice/model", {"a.txt": "one"})
    api.create_branch("alice/model", branch="refs/pr/1")
    api.create_tag("alice/model", tag="v1")
    hub.commit("alice/model", {"a.txt": "two"})
    assert [api.model_info("alice/model", revision=name).sha for name in ("v1", "refs/pr/1")] == [first, first]
    assert [ref.name for ref in api.list_repo_refs("alice/model").branches] == ["main", "refs/pr/1"]
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag("alice/model", tag="v1")
    api.delete_tag("alice/model", tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("alice/model", revision="v1")


def test_listings_come_in_pages_with_sizes_and_security() -> None:
    """Files and folders are listed whole over several pages; details name the last commit and the scan's result."""
    pickle = "pytorch_model.bin"
    with HubServer(Settings(page_size=2)) as hub:
        hub.add_model("lab/model", {"a/b/c.txt": "x", "a/d.txt": "yy", pickle: WEIGHTS}, unsafe=[pickle])
        last = hub.commit("lab/model", {"a/d.txt": "zzz"}, title="longer")
        api = HfApi(endpoint=hub.url, token=False)
        entries = {entry.path: entry for entry in api.list_repo_tree("lab/model", recursive=True, expand=True)}
        assert list(entries) == ["a", "a/b", "a/b/c.txt", "a/d.txt", pickle]
        changed = entries["a/d.txt"]
        assert (changed.size, changed.last_commit.oid, changed.last_commit.title) == (3, last, "longer")
        assert entries[pickle].security.status == "unsafe"
        assert [entry.path for entry in api.list_repo_tree("lab/model")] == ["a", pickle]
        sizes = {file.rfilename: file.size for file in api.model_info("lab/model", files_metadata=True).siblings}
        assert sizes == {"a/b/c.txt": 1, "a/d.txt": 3, pickle: len(WEIGHTS)}
        assert [entry.size for entry in api.get_paths_info("lab/model", ["a/d.txt", "none"])] == [3]


# Who may do what


def test_whoami_tells_name_role_and_organisations(hub: HubServer, api: HfApi) -> None:
    """The token's owner, its role and scopes; an unknown token is 401."""
    hub.add_user("bob", token="hf_bob", role="fineGrained", orgs={"lab": "read"}, scopes=["bob/data"])
    bob = api.whoami(token="hf_bob")
    assert (bob["name"], bob["auth"]["accessToken"]["role"]) == ("bob", "fineGrained")
    assert [(org["name"], org["roleInOrg"]) for org in bob["orgs"]] == [("lab", "read")]
    assert [scope["entity"]["name"] for scope in bob["auth"]["accessToken"]["fineGrained"]["scoped"]] == ["bob/data"]
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api.whoami(token="hf_nobody")


@pytest.mark.parametrize(
    ("role", "scopes", "allowed"),
    [("write", [], True), ("read", [], False), ("fineGrained", [], False), ("fineGrained", ["alice/data"], True)],
)
def test_only_tokens_with_the_right_create_repositories(
    hub: HubServer, role: str, scopes: list[str], allowed: bool
) -> None:
    """A read token, or a fineGrained one without the scope, gets 403."""
    hub.add_user("alice", token="hf_other", role=role, scopes=scopes)
    api = HfApi(endpoint=hub.url, token="hf_other")
    if allowed:
        api.create_repo("alice/data", repo_type="dataset")
        assert list(hub.files("alice/data", kind="dataset")) == [".gitattributes"]
    else:
        with pytest.raises(HfHubHTTPError, match="403"):
            api.create_repo("alice/data", repo_type="dataset")


def test_creating_twice_is_a_conflict_unless_that_is_fine(api: HfApi) -> None:
    """409, which `exist_ok` accepts; a deleted repository is gone."""
    api.create_repo("lab/data", repo_type="dataset", private=True)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo("lab/data", repo_type="dataset")
    assert api.create_repo("lab/data", repo_type="dataset", exist_ok=True).repo_id == "lab/data"
    assert api.dataset_info("lab/data").private
    api.update_repo_settings("lab/data", repo_type="dataset", private=False, gated="auto")
    assert (api.dataset_info("lab/data").private, api.dataset_info("lab/data").gated) == (False, "auto")
    api.delete_repo("lab/data", repo_type="dataset")
    assert not api.repo_exists("lab/data", repo_type="dataset")


def test_gated_model_is_refused_until_access_is_granted(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    """Anonymous, unknown and waiting users get GatedRepoError, the last of them with a message that says so."""
    hub.add_model("meta/gated", {"config.json": "{}"}, gated="manual")
    assert api.model_info("meta/gated").gated == "manual"
    with pytest.raises(GatedRepoError, match="401"):
        api.auth_check("meta/gated", token=False)
    with pytest.raises(GatedRepoError, match="not in the authorized list"):
        api.auth_check("meta/gated")
    hub.repo("meta/gated").pending.add("alice")
    with pytest.raises(GatedRepoError, match="awaiting a review"):
        api.hf_hub_download("meta/gated", "config.json", cache_dir=tmp_path)
    hub.repo("meta/gated").granted.add("alice")
    api.auth_check("meta/gated")
    assert download(hub, tmp_path, "meta/gated", TOKEN) == {"config.json": b"{}"}


@pytest.mark.parametrize(("token", "status"), [(False, "401"), ("hf_bob", "404")])
def test_private_repository_does_not_exist_for_others(hub: HubServer, token: str | bool, status: str) -> None:
    """RepositoryNotFoundError, as for a repository that there is not."""
    hub.add_user("bob", token="hf_bob")
    hub.add_dataset("lab/secret", {"a.txt": "x"}, private=True)
    for name in ("lab/secret", "lab/nothing"):
        with pytest.raises(RepositoryNotFoundError, match=status):
            HfApi(endpoint=hub.url).dataset_info(name, token=token)
    assert HfApi(endpoint=hub.url).dataset_info("lab/secret", token=TOKEN).private


def test_revoked_token_stops_after_so_many_requests(hub: HubServer, api: HfApi) -> None:
    """The request after the last allowed one gets 401."""
    hub.revoke(TOKEN, after=2)
    api.whoami()
    api.whoami()
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api.whoami()


# Writing


def test_commit_with_another_parent_is_refused(hub: HubServer, api: HfApi) -> None:
    """412 when somebody else has committed in between; nothing changes."""
    first = hub.add_model("alice/model", {"a.txt": "one"})
    second = hub.commit("alice/model", {"a.txt": "two"})
    upload = partial(api.upload_file, path_or_fileobj=b"three", path_in_repo="a.txt", repo_id="alice/model")
    with pytest.raises(HfHubHTTPError, match="412"):
        upload(parent_commit=first)
    assert hub.commits("alice/model")[0].oid == second
    upload(parent_commit=second)
    assert hub.files("alice/model") == {"a.txt": b"three"}
    assert hub.files("alice/model", revision=first) == {"a.txt": b"one"}


def test_commits_delete_and_copy(hub: HubServer, api: HfApi) -> None:
    """Files and folders are deleted, small and large files copied, also from another repository."""
    hub.state.settings.xet_for_added = True  # the client copies no other large files between repositories
    hub.add_model("alice/model", {"a.txt": "x", "old/b.txt": "y", "old/c.txt": "z", "w.bin": WEIGHTS})
    hub.add_model("lab/other", {"v.bin": WEIGHTS[1:]})
    operations = [
        CommitOperationDelete("a.txt"),
        CommitOperationDelete("old/"),
        CommitOperationCopy("old/b.txt", "b.txt"),
        CommitOperationCopy("w.bin", "w2.bin"),
        CommitOperationCopy("v.bin", "v.bin", src_repo_id="lab/other", src_repo_type="model"),
    ]
    api.create_commit("alice/model", operations, commit_message="tidy")
    expected = {"b.txt": b"y", "v.bin": WEIGHTS[1:], "w.bin": WEIGHTS, "w2.bin": WEIGHTS}
    assert hub.files("alice/model") == expected


def test_commit_that_changes_nothing_can_be_made(hub: HubServer, api: HfApi) -> None:
    """The client drops operations without effect; a commit of none of them is not sent."""
    first = hub.add_model("alice/model", {"a.txt": "x"})
    made = api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="alice/model")
    assert (made.oid, len(hub.commits("alice/model"))) == (first, 1)
    url, headers = f"{hub.url}/api/models/alice/model/commit/main", {"Authorization": f"Bearer {TOKEN}"}
    line = {"key": "header", "value": {"summary": "nothing", "description": ""}}
    assert get_session().post(url, headers=headers, json=line).status_code == 200
    assert [commit.title for commit in hub.commits("alice/model")] == ["nothing", "initial commit"]
    assert hub.files("alice/model") == {"a.txt": b"x"}


def test_readme_with_broken_front_matter_is_refused(hub: HubServer, api: HfApi) -> None:
    """The client asks before it uploads, and says what is wrong."""
    hub.add_model("alice/model")
    with pytest.raises(ValueError, match="Invalid metadata"):
        api.upload_file(path_or_fileobj=b"---\na: [\n---\n", path_in_repo="README.md", repo_id="alice/model")
    assert len(hub.commits("alice/model")) == 1


UPLOAD = """
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("alice/data", repo_type="dataset", exist_ok=True)
print(api.upload_folder(repo_id="alice/data", repo_type="dataset", folder_path=sys.argv[1]).oid)
"""


def dataset_folder(folder: Path, rows: int = 5000) -> Path:
    """A dataset of one Parquet file and a card."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "data").mkdir(parents=True)
    numbers = list(range(rows))
    table = pa.table({"n": numbers, "share": [n / 7 for n in numbers], "text": [f"row {n}" for n in numbers]})
    pq.write_table(table, folder / "data" / "train-00000-of-00001.parquet", compression="none")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Rows\n")
    return folder


@pytest.mark.parametrize("xet", [True, False], ids=["xet", "lfs"])
def test_uploaded_folder_is_loaded_back_equal(
    hub: HubServer, script: Callable[..., str], tmp_path: Path, xet: bool
) -> None:
    """What upload_folder sent, by Xet or in parts by LFS, load_dataset reads."""
    hub.state.settings.part_size = 100_000
    folder = dataset_folder(tmp_path / "folder")
    oid = script(UPLOAD, folder, xet=xet)
    assert oid == hub.commits("alice/data", kind="dataset")[0].oid
    local = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert local == {path: data for path, data in hub.files("alice/data", kind="dataset").items() if path in local}
    assert bool(xet) is (200 in seen(hub, "cas", "/v1/xorbs/", "POST"))
    assert bool(xet) is (seen(hub, "cdn", "/lfs/", "PUT") == [])
    code = "from datasets import load_dataset; d = load_dataset('alice/data', split='train'); print(len(d), d[4999])"
    assert f"5000 {{'n': 4999, 'share': {4999 / 7}, 'text': 'row 4999'}}" == script(code, xet=xet)


@pytest.mark.parametrize("xet", [True, False], ids=["xet", "lfs"])
def test_identical_content_is_not_sent_again(
    hub: HubServer, script: Callable[..., str], tmp_path: Path, xet: bool
) -> None:
    """A second upload, from a machine with empty caches, sends no content and makes no commit."""
    folder = dataset_folder(tmp_path / "folder")
    first = script(UPLOAD, folder, xet=xet)
    sent = hub.uploaded()
    assert sent > 0
    assert first == script(UPLOAD, folder, xet=xet, home="other")
    assert sent == hub.uploaded()


def test_xet_token_and_hub_token_stay_apart(hub: HubServer, script: Callable[..., str], tmp_path: Path) -> None:
    """Xet storage sees tokens of its own alone."""
    script(UPLOAD, dataset_folder(tmp_path / "folder"))
    storage = [r.authorization for r in hub.requests if r.origin == "cas"]
    assert storage
    assert all(value and value.startswith("Bearer xet_write_") for value in storage)


def test_content_of_every_kind_comes_back_by_xet(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    """Floats, text, noise, repetitions and emptiness survive hf_xet's compression and deduplication, both ways."""
    noise = os.urandom(400_000)
    files = {
        "floats.bin": array("f", [number / 7 for number in range(50_000)]).tobytes() + b"abc",
        "text.bin": b"\0" + b"".join(b"line %d\n" % number for number in range(20_000)),
        "repeated.bin": noise[150_000:] + bytes(300_000) + noise + noise[:200_000],
        "empty.bin": b"",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    hub.add_model("alice/model")
    api.upload_folder(repo_id="alice/model", folder_path=tmp_path)
    assert hub.files("alice/model") == files
    assert download(hub, tmp_path / "cache", "alice/model") == files


def test_xorbs_go_straight_to_the_cdn_by_grants(hub: HubServer, api: HfApi) -> None:
    """With grants, hf_xet puts xorbs on the second origin, without any token, and commits them."""
    hub.state.settings.xorb_grants = True
    hub.add_model("alice/model")
    data = os.urandom(200_000)
    api.upload_file(path_or_fileobj=data, path_in_repo="a.bin", repo_id="alice/model")
    assert hub.files("alice/model") == {"a.bin": data}
    assert [(r.method, r.authorization, r.status) for r in hub.requests if r.origin == "cdn"] == [("PUT", None, 200)]
    assert seen(hub, "cas", "/v1/xorb", "POST") == [201, 200]


MODEL = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("lab/tiny")
model = AutoModelForCausalLM.from_pretrained("lab/tiny")
ids = tokenizer("b c a", return_tensors="pt").input_ids
print(ids.tolist()[0], model.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=0).shape[1])
"""


def tiny_gpt2(folder: Path) -> Path:
    """A random model of a few thousand parameters with a tokenizer of four words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "b": 2, "c": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)
    config = GPT2Config(vocab_size=4, n_positions=16, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_transformers_loads_a_model_through_the_hub(hub: HubServer, script: Callable[..., str], tmp_path: Path) -> None:
    """Tokenizer and model come by name, and generate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries' own making
        hub.add_model("lab/tiny", tiny_gpt2(tmp_path / "tiny"))
    ids, _, length = script(MODEL).rpartition(" ")
    assert ids == "[2, 3, 1]"
    assert int(length) > 3


def test_serve_prints_its_url_and_serves_a_folder(tmp_path: Path) -> None:
    """The hub runs as a process of its own."""
    (tmp_path / "config.json").write_text("{}")
    command = [sys.executable, "-m", "tests.hub.serve", "--model", f"gpt2={tmp_path}", "--user", "bob=hf_bob"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout else ""
            assert get_session().get(f"{url}/gpt2/resolve/main/config.json").text == "{}"
            assert HfApi(endpoint=url).whoami(token="hf_bob")["name"] == "bob"
        finally:
            process.terminate()
