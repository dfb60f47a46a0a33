"""What a user may ask of Slurm, from the command line or the section `[slurm]` of luigi.cfg."""

from __future__ import annotations

from typing import Any

from promptmill.slurm.options import SlurmOptions, split_arguments
from tasks.parameters import Setting, integer, strings

DEFAULTS = SlurmOptions()


def _slurm(name: str) -> dict[str, Any]:
    """Not significant, as it changes no byte of the dataset; and where luigi.cfg has it."""
    return {"significant": False, "config_path": {"section": "slurm", "name": name}}


class SlurmParameters:
    """The wishes that become #SBATCH lines."""

    partition = Setting(
        default=None, description="Partition of the array. Default: the cluster's.", **_slurm("partition")
    )
    cpu_partition = Setting(
        default=None,
        description="Partition of the last job, which needs no GPU. Default: that of the array.",
        **_slurm("cpu_partition"),
    )
    account = Setting(default=None, description="Account to charge. Default: yours.", **_slurm("account"))
    qos = Setting(default=None, description="Quality of service. Default: the account's.", **_slurm("qos"))
    gpus_per_task = integer(
        default=DEFAULTS.gpus_per_task, description="GPUs of an array task; 0 for CPUs only. Default: 1.",
        **_slurm("gpus_per_task"),
    )  # fmt: skip
    cpus_per_task = integer(
        default=DEFAULTS.cpus_per_task, description="CPUs of an array task. Default: 1.", **_slurm("cpus_per_task")
    )
    mem = Setting(default=None, description="Memory of a job, as 16G. Default: the cluster's.", **_slurm("mem"))
    time = Setting(
        default=None,
        description="Walltime of a job, as 4:00:00; it returns until all is done. Default: the partition's.",
        **_slurm("time"),
    )
    max_parallel = integer(
        default=DEFAULTS.max_parallel, description="Most array tasks at a time. Default: 8.", **_slurm("max_parallel")
    )
    constraint = Setting(
        default=None, description="Features that nodes must have, as 'a100|rtx6000'. Default: none.",
        **_slurm("constraint"),
    )  # fmt: skip
    sbatch_args = Setting(
        split_arguments,
        kind="a list of options",
        default=(),
        description="Further options of sbatch, as '--nice=100 --mail-type=END'. Default: none.",
        **_slurm("sbatch_args"),
    )
    setup = strings(
        default=(),
        description="Shell line to run first, such as 'module load cuda', or several as a JSON list. Default: none.",
        **_slurm("setup"),
    )
    resubmissions = integer(
        default=DEFAULTS.resubmissions,
        description="How often the last job may submit what is missing. Default: 20.",
        **_slurm("resubmissions"),
    )

    @property
    def slurm_options(self) -> SlurmOptions:
        """The wishes as one checked value."""
        return SlurmOptions(
            partition=self.partition,
            cpu_partition=self.cpu_partition,
            account=self.account,
            qos=self.qos,
            gpus_per_task=self.gpus_per_task,
            cpus_per_task=self.cpus_per_task,
            mem=self.mem,
            time=self.time,
            max_parallel=self.max_parallel,
            constraint=self.constraint,
            sbatch_args=self.sbatch_args,
            setup=self.setup,
            resubmissions=self.resubmissions,
        )
