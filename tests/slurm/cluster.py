"""A real Slurm of two virtual nodes on this machine: folders, ports, key and socket of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
NODES = ("n1", "n2")
GPUS = 2
PATIENCE = 5

_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A requeued job may start again once its old credential has expired: seconds instead of two minutes.
AuthInfo=socket={root}/munge.socket,cred_expire=8
CryptoType=crypto/munge
SlurmctldPort={ports[0]}
SlurmctldPidFile={root}/slurmctld.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdPidFile={root}/slurmd-%n.pid
SlurmdLogFile={root}/slurmd-%n.log
SlurmdSpoolDir={root}/spool-%n
StateSaveLocation={root}/state
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=500000,sched_interval=2,bf_interval=2,batch_sched_delay=0,requeue_setup_env_fail
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
KillWait={kill_wait}
SlurmdTimeout=15
SlurmctldTimeout=30
MinJobAge=300
MaxArraySize={max_array_size}
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} {shape}
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} {shape}
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1 PreemptMode=REQUEUE MaxTime=INFINITE State=UP
PartitionName=cancel Nodes=n1,n2 PriorityTier=1 PreemptMode=CANCEL MaxTime=INFINITE State=UP
PartitionName=high Nodes=n1,n2 PriorityTier=100 PreemptMode=OFF MaxTime=INFINITE State=UP
"""
_SHAPE = "Sockets=1 CoresPerSocket=8 ThreadsPerCore=1 CPUs=8 RealMemory=2000 Gres=gpu:2 State=UNKNOWN"


def missing_programs() -> list[str]:
    """The programs of Slurm that this machine lacks."""
    return [name for name in PROGRAMS if _program(name) is None]


class Cluster:
    """Start it, use `env` for every command, stop it.

    Args:
        kill_wait: seconds from SIGTERM to SIGKILL.
    """

    def __init__(self, *, kill_wait: int = 8, max_array_size: int = 101) -> None:
        # Short, because the path of a socket is limited to 107 bytes.
        self.root = Path(tempfile.mkdtemp(prefix="slurm-"))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._write_configuration(kill_wait, max_array_size)
        self.env = {**os.environ, "SLURM_CONF": str(self.root / "slurm.conf"), "SLURM_TIME_FORMAT": "standard"}

    def start(self) -> None:
        """Bring everything up; returns once both nodes take jobs."""
        self._start_munge()
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait_for(lambda: self.run("sinfo", "-h", "-N", "-p", "low", "-o", "%T").split() == ["idle"] * 2, 60)

    def stop(self) -> None:
        """End every job and daemon, and remove the folders."""
        self.cancel_all()
        for name in [*(f"slurmd-{node}" for node in NODES), "slurmctld", "munged"]:
            self.end(name)
        self._end_orphans()
        shutil.rmtree(self.root, ignore_errors=True)

    def cancel_all(self) -> None:
        """End every job, the stubborn ones too."""
        try:
            self.run("scancel", "--user", _user(), check=False, timeout=10)
            self.run("scancel", "--signal=KILL", "--user", _user(), check=False, timeout=10)
            self.wait_for(lambda: not self.run("squeue", "-h", check=False), 20)
        except (subprocess.TimeoutExpired, TimeoutError):
            pass

    def start_controller(self) -> None:
        """Start slurmctld; with the state that an earlier one left."""
        self._start("slurmctld", "slurmctld", "-D")
        self.wait_for(lambda: "UP" in self.run("scontrol", "ping", check=False), 30)

    def start_node(self, node: str) -> None:
        """Start the slurmd of one node."""
        self._start(f"slurmd-{node}", "slurmd", "-D", "-N", node)

    def end(self, name: str, number: int = signal.SIGTERM) -> None:
        """End a daemon by signal and wait for it."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def run(self, *command: str, check: bool = True, timeout: float = 30) -> str:
        """What a command of Slurm's prints."""
        done = subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=timeout, check=False, cwd=self.root
        )
        if check and done.returncode:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def states(self) -> dict[str, str]:
        """State of every job that is pending or running, by its id (`12_3` for an array task)."""
        lines = self.run("squeue", "-h", "-r", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def start_pending_now(self) -> None:
        """Pull requeued jobs forward, which Slurm makes wait."""
        for line in self.run("squeue", "-h", "-r", "-t", "PD", "-o", "%i %r").splitlines():
            job, reason = line.split(maxsplit=1)
            if reason == "BeginTime":
                self.run("scontrol", "update", f"jobid={job}", "StartTime=now", check=False)

    @staticmethod
    def wait_for(holds: Callable[[], bool], seconds: float, every: float = 0.3) -> None:
        """Return as soon as `holds`; TimeoutError if it does not in time.

        Args:
            seconds: what is ample on a machine that does nothing else; it is waited for several times as long.
        """
        end = time.monotonic() + PATIENCE * seconds
        while not holds():
            if time.monotonic() > end:
                raise TimeoutError(f"still not so after {PATIENCE * seconds} s")
            time.sleep(every)

    def log(self) -> str:
        """The ends of the daemons' logs, for failures."""
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.root.glob("*.log")))

    def _end_orphans(self) -> None:
        """End what a killed slurmd left: processes whose working folder is that of this very cluster."""
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()).is_relative_to(self.root):
                    process.kill()
            except psutil.Error:
                continue

    def _start_munge(self) -> None:
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid", "seed-file": "munge.seed"}
        options = [f"--{option}={self.root / name}" for option, name in files.items()]
        # --force: it would refuse a folder that others might write to, as the one above ours is.
        self._start("munged", "munged", "--foreground", "--force", *options, f"--log-file={self.root / 'munged.log'}")
        self.wait_for((self.root / "munge.socket").exists, 10)

    def _start(self, name: str, *command: str) -> None:
        program = _program(command[0])
        assert program is not None
        with (self.root / f"{name}.out").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                [program, *command[1:]],
                env=getattr(self, "env", None),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.root,
                start_new_session=True,
            )

    def _write_configuration(self, kill_wait: int, max_array_size: int) -> None:
        self.root.chmod(0o755)
        (self.root / "state").mkdir()
        for node in NODES:
            (self.root / f"spool-{node}").mkdir()
        conf = _CONF.format(
            host=socket.gethostname().split(".")[0],
            user=_user(),
            root=self.root,
            ports=_free_ports(3),
            kill_wait=kill_wait,
            max_array_size=max_array_size,
            shape=_SHAPE,
        )
        (self.root / "slurm.conf").write_text(conf)
        gres = "".join(f"NodeName={node} Name=gpu File=/dev/tty[1-{GPUS}]\n" for node in NODES)
        (self.root / "gres.conf").write_text(gres)
        (self.root / "cgroup.conf").write_text("CgroupAutomount=no\n")


def _program(name: str) -> str | None:
    # The daemons lie in sbin, which is not on everybody's PATH.
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
