"""Slurm: which of its commands are here, whether it answers, and which partitions have GPUs."""

from __future__ import annotations

import shutil
from collections import defaultdict

from promptmill.doctor.values import Finding
from promptmill.errors import PromptmillError
from promptmill.slurm.commands import sinfo

COMMANDS = ("sbatch", "squeue", "scontrol", "sinfo", "sacctmgr")
_SECONDS = 10.0
_NONE = ("", "(null)", "N/A")


def check_slurm() -> list[Finding]:
    """The commands, then a finding a partition."""
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing == list(COMMANDS):
        return [Finding("Slurm", "pass", "not here: runs are made on this machine alone")]
    if missing:
        do = "On a cluster, its login node has them (perhaps after `module load slurm`)."
        return [Finding("Slurm", "fail", f"some commands are missing: {', '.join(missing)}", do)]
    try:
        partitions = _partitions()
    except PromptmillError as error:
        reason = str(error).strip().splitlines()[-1]
        do = "Try `sinfo` by itself. Where this machine is of no cluster, its Slurm packages can go."
        return [Finding("Slurm", "fail", f"its commands are here, and it does not answer: {reason}", do)]
    if not partitions:
        return [Finding("Slurm", "fail", "it answers, and has no partition for you", "Ask for access to one.")]
    if not any("GPUs" in says for says in partitions.values()):
        head = Finding("Slurm", "warn", "it answers; no partition has GPUs (GRES)", "Ask which nodes have GPUs.")
    else:
        head = Finding("Slurm", "pass", f"it answers: {', '.join(COMMANDS)}")
    return [head, *(Finding(f"  {name}", "pass", says) for name, says in partitions.items())]


def _partitions() -> dict[str, str]:
    """Partition → its nodes, GPUs and time limit, in words."""
    found: dict[str, list[str]] = defaultdict(list)
    limits: dict[str, str] = {}
    for line in sinfo("%R|%l|%D|%G", timeout=_SECONDS):
        if line.count("|") < 3:
            continue
        name, limit, nodes, gres = line.split("|", 3)
        limits[name] = limit
        # What follows in brackets is which sockets a device belongs to.
        gpus = [part.split("(")[0] for part in gres.split(",") if part.startswith("gpu")] if gres not in _NONE else []
        count = f"{nodes} node{'' if nodes == '1' else 's'}"
        found[name].append(f"{count} with GPUs ({', '.join(gpus)})" if gpus else f"{count} without")
    return {name: f"{' and '.join(kinds)}, up to {limits[name]}" for name, kinds in found.items()}
