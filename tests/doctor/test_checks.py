"""What each check says where all is well, and where it is not."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from huggingface_hub import constants
from packaging.requirements import Requirement

from promptmill.doctor import bits, driver, folders, hub, luigi_config, packages, partitions
from promptmill.doctor.driver import Build, Driver
from promptmill.doctor.showing import summary
from promptmill.doctor.values import Finding, worst
from promptmill.hub.patience import Patience
from promptmill.mounts import Mount, mount_of
from tests.fakes import fake_program
from tests.hub import HubServer

ROOT = Path(__file__).parent.parent.parent
TOKEN = "hf_alice_secret_token"
DRIVER = Driver("550.54", (12, 4), 2)


def our_requirements() -> list[Requirement]:
    """Those of setup.cfg: what is installed may be of an earlier state of the checkout."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return [Requirement(line) for line in config["options"]["install_requires"].splitlines() if line]


def test_the_tested_set_is_that_of_the_constraints() -> None:
    """promptmill/doctor/tested.txt has, for each requirement of setup.cfg in its order, the line of constraints.txt."""
    pins = dict(
        line.split(";")[0].strip().lower().replace("_", "-").split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    assert packages.tested_versions() == {
        one.name: pins[one.name.lower().replace("_", "-")] for one in our_requirements()
    }


@pytest.mark.parametrize(
    ("here", "verdict", "says"),
    [
        ("15.0.0", "pass", "are the versions that were tested"),
        ("15.0.0+local", "pass", "are the versions that were tested"),
        ("14.2.0", "warn", "rich 14.2.0 (tested: 15.0.0)"),
        ("12.0.0", "fail", "rich 12.0.0 (needs >=13.0)"),
        (None, "fail", "rich is missing (needs >=13.0)"),
    ],
)
def test_packages_are_held_against_the_tested_set(here: str | None, verdict: str, says: str) -> None:
    """What differs is named, with the command that installs what was tested."""
    finding = packages.judged([Requirement("rich>=13.0")], {"rich": here}, {"rich": "15.0.0"})
    assert (finding.verdict, says in finding.says) == (verdict, True)
    assert finding.do == (None if verdict == "pass" else "pip install 'rich==15.0.0'")


def test_python_has_to_be_new_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the installation says that it needs."""
    assert packages.check_python()[0].verdict == "pass"
    monkeypatch.setattr("platform.python_version", lambda: "3.8.1")
    (old,) = packages.check_python()
    assert (old.verdict, old.says) == ("fail", "3.8.1, and promptmill needs >=3.10")


@pytest.mark.parametrize(
    ("build", "seen", "verdict", "says"),
    [
        (Build("2.13.0", "12.6", None, 2), DRIVER, "pass", "the driver 550.54 runs CUDA up to 12.4"),
        (Build("2.13.0", None, None, 0), None, "pass", "no NVIDIA GPU"),
        (Build("2.13.0", "12.6", None, 0), None, "pass", "no NVIDIA GPU"),
        (Build("2.13.0", "12.6", None, 0), Driver("550.54", (12, 4), 0), "pass", "no NVIDIA GPU"),
        (Build("2.13.0", None, None, 0), DRIVER, "fail", "for the CPU alone, but there are 2 GPU(s)"),
        (Build("2.13.0", "13.0", None, 0), DRIVER, "fail", "for CUDA 13.0, but the driver 550.54 runs CUDA up to 12.4"),
        (Build("2.13.0", "12.6", None, 1), DRIVER, "fail", "sees 1 of 2 GPUs"),
        (Build("2.13.0", None, "6.4", 2), None, "warn", "not NVIDIA's"),
    ],
)
def test_torch_has_to_go_with_the_driver(build: Build, seen: Driver | None, verdict: str, says: str) -> None:
    """A build that cannot use the GPUs is named, with what to install."""
    finding = driver.judged(build, seen)
    assert (finding.verdict, says in finding.says) == (verdict, True), finding
    assert (finding.do is None) is (verdict == "pass")


def test_a_driver_that_does_not_work_is_not_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an update without a restart."""
    import pynvml

    def mismatch() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

    monkeypatch.setattr(pynvml, "nvmlInit", mismatch)
    (gpu,) = driver.check_gpus()
    assert (gpu.verdict, "does not work" in gpu.says) == ("fail", True)
    assert driver.check_torch()[0].verdict == "warn"


def test_gpus_that_are_hidden_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable that hides them."""
    monkeypatch.setattr(driver, "read_driver", lambda: Driver("550.54", (12, 4), 0))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (gpu,) = driver.check_gpus()
    assert (gpu.verdict, "CUDA_VISIBLE_DEVICES" in gpu.says) == ("warn", True)


def test_bitsandbytes_is_tried_for_real() -> None:
    """A layer that computes something else is found."""
    import torch

    assert bits.check_cpu()[0].verdict == "pass"
    (wrong,) = bits.check_cpu(lambda quantization, weights: torch.nn.Linear(128, 64, bias=False))
    assert (wrong.verdict, "4bit: products are off by" in wrong.says) == ("fail", True)
    assert "--quantization none" in str(wrong.do)


@pytest.fixture
def asked(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HubServer:
    """A hub that this process asks, as nobody."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    hub.add_user("alice", token=TOKEN, role="read")
    return hub


def test_the_hub_answers_with_and_without_a_login(asked: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom it knows is told, never how."""
    reached, login = hub.check_hub()
    assert (reached.verdict, login.verdict) == ("pass", "warn")
    assert "hf auth login" in str(login.do)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    reached, login = hub.check_hub()
    assert (reached.verdict, login.verdict) == ("pass", "pass")
    assert "alice, by a read token from HF_TOKEN" in login.says
    assert TOKEN not in f"{reached}{login}"


def test_a_refused_token_is_a_failure(asked: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub itself has answered."""
    monkeypatch.setenv("HF_TOKEN", "hf_forgotten")
    reached, login = hub.check_hub()
    assert (reached.verdict, login.verdict) == ("pass", "fail")
    assert "settings/tokens" in str(login.do)
    assert "hf_forgotten" not in f"{reached}{login}"


def test_a_hub_that_does_not_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless one has said that there is none."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    reached, login = hub.check_hub(Patience(total_seconds=5, request_seconds=2, connect_tries=1))
    assert (reached.verdict, login.verdict) == ("fail", "warn")
    assert "HF_HUB_OFFLINE=1" in str(reached.do)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert [finding.verdict for finding in hub.check_hub()] == ["warn", "warn"]


def test_the_cache_has_to_have_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By the quota where that is less than the file system has."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**13, 0, 10**13))
    assert folders.check_cache()[0].verdict == "pass"
    monkeypatch.setattr("promptmill.hub.space.device_of", lambda folder: "nas:/home")
    for left, verdict in ((10_000_000, "warn"), (100_000, "fail")):
        fake_program(tmp_path, "quota", f"echo '  nas:/home {20_000_000 - left} 0 20000000 0 4 0 0'")
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
        (finding,) = folders.check_cache()
        assert (finding.verdict, "left by your quota" in finding.says) == (verdict, True)
        assert "HF_HOME" in str(finding.do)


def test_a_folder_that_may_not_be_written_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For the cache and for data; /proc takes files of nobody, root included."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    (cache,) = folders.check_cache()
    assert (cache.verdict, "no permission" in cache.says) == ("fail", True)
    (data,) = folders.check_data(Path("/proc/data"))
    assert (data.verdict, "--data-dir" in str(data.do)) == ("fail", True)


def test_the_data_folder_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    """One that is not there yet is not made."""
    promises, room, _ = folders.check_data(tmp_path / "data" / "deep")
    assert (promises.verdict, "made by the first run" in promises.says) == ("pass", True)
    assert room.verdict in ("pass", "warn")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_hard_links_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A run relies on them to let one process decide for all."""

    def link(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted", str(target))

    monkeypatch.setattr("os.link", link)
    (finding,) = folders.check_data(tmp_path)
    assert (finding.verdict, "Operation not permitted" in finding.says) == ("fail", True)


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As bytes that are left."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**13, 10**13, 5 * 10**7))
    _, room, _ = folders.check_data(tmp_path)
    assert (room.verdict, room.says.startswith("50.0 MB left by the file system")) == ("fail", True)


@pytest.mark.parametrize(
    ("mount", "on_cluster", "verdict", "says"),
    [
        ("nas:/home / nfs4 rw 0 0", True, "pass", "nfs4 on nas:/home, a network file system"),
        ("/dev/sda1 / ext4 rw 0 0", False, "pass", "a file system of this machine"),
        ("/dev/sda1 / ext4 rw 0 0", True, "warn", "of this machine alone"),
        ("tmpfs / tmpfs rw 0 0", False, "warn", "gone when the machine restarts"),
        ("", False, "warn", "not known"),
    ],
)
def test_the_file_system_is_named(
    mount: str, on_cluster: bool, verdict: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster it should be one that all nodes see."""
    (tmp_path / "mounts").write_text(mount)
    if on_cluster:
        fake_program(tmp_path, "sbatch", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    *_, finding = folders.check_data(tmp_path, tmp_path / "mounts")
    assert (finding.verdict, says in finding.says) == (verdict, True)


def test_the_mount_of_a_folder_is_the_closest_one(tmp_path: Path) -> None:
    """Of two on one point the later; blanks are written as octal numbers."""
    table = tmp_path / "mounts"
    table.write_text(
        "/dev/sda1 / ext4 rw 0 0\nnas:/home /home nfs4 rw 0 0\nmds:/s /scratch\\040two lustre rw 0 0\n"
        "autofs /home autofs rw 0 0\nnas:/new /home nfs4 rw 0 0\n"
    )
    assert mount_of(Path("/home/me/data"), table) == Mount("nas:/new", "nfs4")
    assert mount_of(Path("/scratch two/x"), table) == Mount("mds:/s", "lustre")
    assert mount_of(Path("/homely"), table) == Mount("/dev/sda1", "ext4")
    assert mount_of(tmp_path, tmp_path / "none") is None
    assert mount_of(tmp_path) is not None


def slurm(folder: Path, monkeypatch: pytest.MonkeyPatch, sinfo: str, *, without: str | None = None) -> list[Finding]:
    """What is found where Slurm's commands are these."""
    for name in partitions.COMMANDS:
        if name != without:
            fake_program(folder, name, sinfo if name == "sinfo" else "exit 0")
    monkeypatch.setattr(
        partitions.shutil, "which", lambda name: str(path) if (path := folder / name).exists() else None
    )
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return partitions.check_slurm()


def test_partitions_and_their_gpus_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All kinds of nodes of a partition on one line."""
    lines = "echo 'gpu|4:00:00|2|gpu:t4:6(S:0-1),shard:24'; echo 'gpu|4:00:00|1|(null)'; echo 'cpu|infinite|9|(null)'"
    head, gpu, cpu = slurm(tmp_path, monkeypatch, lines)
    assert head.verdict == "pass"
    assert gpu.says == "2 nodes with GPUs (gpu:t4:6) and 1 node without, up to 4:00:00"
    assert cpu.says == "9 nodes without, up to infinite"


@pytest.mark.parametrize(
    ("sinfo", "without", "verdict", "says"),
    [
        ("echo 'cpu|infinite|9|(null)'", None, "warn", "no partition has GPUs"),
        ("exit 0", None, "fail", "no partition for you"),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", None, "fail", "does not answer"),
        ("exit 0", "sbatch", "fail", "commands are missing: sbatch"),
    ],
)
def test_a_slurm_that_is_not_whole_is_told(
    sinfo: str, without: str | None, verdict: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to ask or to try."""
    head = slurm(tmp_path, monkeypatch, sinfo, without=without)[0]
    assert (head.verdict, says in head.says) == (verdict, True)
    assert head.do


def test_a_machine_without_slurm_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most are."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = partitions.check_slurm()
    assert (finding.verdict, "not here" in finding.says) == ("pass", True)


def test_luigi_cfg_is_found_where_luigi_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files and their order are those of Luigi itself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "luigi.cfg").write_text("[BuildDataset]\nmodel = gpt2\ntemperature = 0.3\n")
    other = tmp_path / "other.cfg"
    other.write_text("[BuildDataset]\nmodel = demo\n")
    asks = (
        "from luigi.configuration import LuigiConfigParser as P; import os; "
        "print([os.path.abspath(p) for p in P._config_paths if os.path.exists(p)])"
    )
    for named in (None, other):
        if named:
            monkeypatch.setenv("LUIGI_CONFIG_PATH", str(named))
        said = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True).stdout
        assert said.strip() == str([str(path) for path in luigi_config.config_files(os.environ)])
    (finding,) = luigi_config.check_luigi_config()
    assert finding.verdict == "pass"
    assert "other.cfg; sets BuildDataset: model, temperature" in finding.says


@pytest.mark.parametrize(
    ("name", "content", "variable", "verdict", "says"),
    [
        ("luigi.cfg", "[BuildDataset]\nmodel = %(x\n", None, "pass", "sets BuildDataset: model"),
        ("luigi.cfg", "model = x\n", None, "fail", "cannot be read"),
        ("client.cfg", "[core]\n", None, "warn", "client.cfg"),
        ("other.txt", "", ("LUIGI_CONFIG_PATH", "/nowhere/luigi.cfg"), "warn", "no such file"),
        ("luigi.toml", "", ("LUIGI_CONFIG_PARSER", "toml"), "warn", "luigi.toml instead of luigi.cfg"),
    ],
)
def test_a_luigi_cfg_that_is_not_used_is_told(
    name: str, content: str, variable: tuple[str, str] | None, verdict: str, says: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Or that cannot be."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(content)
    if variable:
        monkeypatch.setenv(*variable)
    (finding,) = luigi_config.check_luigi_config()
    assert (finding.verdict, says in finding.says) == (verdict, True), finding


def test_the_summary_counts_what_is_to_do() -> None:
    """And the verdict is the worst one."""
    well, odd, bad = (Finding("x", verdict, "") for verdict in ("pass", "warn", "fail"))  # type: ignore[arg-type]
    assert summary([well]) == "Everything is as it should be."
    assert summary([well, odd, bad]) == "1 to repair, 1 to know of; the other 1 are as they should be."
    assert (worst([]), worst([well, odd]), worst([bad, well])) == ("pass", "warn", "fail")
