"""The checks, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from promptmill.doctor import bits, driver, folders, hub, luigi_config, packages, partitions
from promptmill.doctor.values import Finding

Check = Callable[[Path], list[Finding]]

CHECKS: dict[str, Check] = {
    "Python": lambda _: packages.check_python(),
    "packages": lambda _: packages.check_packages(),
    "torch": lambda _: driver.check_torch(),
    "GPU": lambda _: driver.check_gpus(),
    "bitsandbytes CPU": lambda _: bits.check_cpu(),
    "bitsandbytes GPU": lambda _: bits.check_gpus(),
    "Hub": lambda _: hub.check_hub(),
    "cache": lambda _: folders.check_cache(),
    "data folder": folders.check_data,
    "Slurm": lambda _: partitions.check_slurm(),
    "luigi.cfg": lambda _: luigi_config.check_luigi_config(),
}
"""Name → what finds out, given the data folder."""
