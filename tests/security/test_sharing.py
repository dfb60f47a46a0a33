"""Who may read and write what a run makes: as the umask says, or the whole group."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptmill.assemble import recorded_dataset
from promptmill.errors import StorageError
from promptmill.run import RunFolder
from promptmill.sharing import share_with_group
from tests.command import build_dataset, dataset_table
from tests.security.as_user import PROMPTS, SAMPLES

ROOT = Path(__file__).parents[2]
ANN, BOB, EVE = 61001, 61002, 61003
GROUP, OTHERS = 61010, 61011


@pytest.fixture
def project() -> Iterator[Path]:
    """A folder that every user of the machine may make folders in."""
    folder = Path(tempfile.mkdtemp(prefix="promptmill-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def steps(*given: tuple[int, str, str, Path]) -> tuple[list[int], str]:
    """Steps of `as_user` by user, umask, name and folder; their exit codes, and what was said."""
    each = [f"{user}:{OTHERS if user == EVE else GROUP}:{umask}:{name}:{data}" for user, umask, name, data in given]
    command = [sys.executable, "-m", "tests.security.as_user", *each]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()], done.stderr


def modes(data: Path) -> set[tuple[str, int]]:
    """Kind and permissions of all that is below a folder, the folder included."""
    paths = [data, *data.rglob("*")]
    kinds = {True: "folder", False: "file"}
    return {(kinds[path.is_dir()], stat.S_IMODE(path.lstat().st_mode)) for path in paths if not path.is_symlink()}


def test_all_files_have_the_modes_that_the_umask_says(project: Path) -> None:
    """Those that libraries write with modes of their own too."""
    expected = {"077": (0o700, 0o600), "027": (0o750, 0o640), "022": (0o755, 0o644)}
    codes, said = steps(*((ANN, umask, name, project / umask) for umask in expected for name in ("begin", "go-on")))
    assert codes == [0] * 6, said
    found = {umask: modes(project / umask) for umask in expected}
    assert found == {umask: {("folder", folder), ("file", file)} for umask, (folder, file) in expected.items()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
def test_two_users_of_a_group_go_on_in_each_others_run(project: Path) -> None:
    """Ann begins and shares, Bob goes on and Ann after him, under the strictest umask; Eve of no group may not."""
    data = project / "data"
    order = [(BOB, "go-on"), (ANN, "share"), (BOB, "go-on"), (ANN, "go-on"), (EVE, "go-on")]
    codes, said = steps((ANN, "077", "begin", data), *((user, "077", name, data) for user, name in order))
    assert codes == [0, 1, 0, 0, 0, 1], said
    run = RunFolder.named(data, "stub")
    assert recorded_dataset(run) is not None
    positions = {(row["prompt_id"], row["sample_index"]) for row in dataset_table(run.path).to_pylist()}
    assert len(positions) == dataset_table(run.path).num_rows == PROMPTS * SAMPLES
    assert modes(data) == {("folder", 0o2770), ("file", 0o660)}
    assert {path.lstat().st_gid for path in data.rglob("*")} == {GROUP}
    assert {path.lstat().st_uid for path in data.rglob("*")} == {ANN, BOB}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_somebody_elses_folder_is_not_shared_by_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner is named, and what they can do."""
    monkeypatch.setattr(os, "geteuid", lambda: BOB)
    with pytest.raises(StorageError, match=r"belongs to user 0, who does not share it.*--group-shared"):
        share_with_group(tmp_path)


def test_links_are_left_alone(project: Path) -> None:
    """What a link leads to may be anybody's."""
    outside = project / "outside"
    outside.touch(mode=0o600)
    (project / "data").mkdir()
    (project / "data" / "link").symlink_to(outside)
    share_with_group(project / "data")
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600


def test_the_option_opens_the_folder_and_all_that_is_made_in_it(tmp_path: Path, tiny_gpt2: Path) -> None:
    """BuildDataset under umask 077, with quantised weights that are kept: files rw-rw----, folders rwxrws---."""
    before = os.umask(0o077)
    try:
        outcome = build_dataset(
            "--model", tiny_gpt2, "--limit", 2, "--max-new-tokens", 2, "--quantization", "8bit", "--group-shared",
            cwd=tmp_path,
        )  # fmt: skip
    finally:
        os.umask(before)
    assert outcome.code == 0, outcome.said
    assert list((tmp_path / "data" / "models" / "quantized").iterdir())
    assert modes(tmp_path / "data") == {("folder", 0o2770), ("file", 0o660)}
