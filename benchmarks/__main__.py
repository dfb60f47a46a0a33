"""`make bench`: the benchmarks that need no GPU and no other environment, one after another.

    python -m benchmarks [NAME ...]

Each prints what stands in its section of benchmarks/README.md. `benchmarks.gpu` wants a GPU, and
`benchmarks.engine --vllm` an environment of its own: start those by themselves.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from promptmill.demo import ensure_demo_model

DATA = Path("build/benchmarks")
MODEL = "MODEL"
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "memory": ("2000", "20000", "200000"),
    "overhead": (),
    "endpoint": (),
    "scale": ("--rows", "100000", "1000000"),
    "report": (),
    "restart": ("--data", str(DATA)),
    "engine": (MODEL,),
    "engine_limits": (MODEL,),
    "engine_equality": (MODEL,),
    "sampling": (MODEL,),
    "quantized": ("--data", str(DATA)),
}
"""Arguments by name; MODEL stands for the demo model's folder."""


def main() -> None:
    """Run them; ends with 1 if one did not work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := sorted(set(names) - set(BENCHMARKS)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    model = str(ensure_demo_model(DATA / "models"))
    failed = []
    for name in names:
        sys.stdout.write(f"\n## {name}\n\n")
        sys.stdout.flush()
        arguments = [model if argument == MODEL else argument for argument in BENCHMARKS[name]]
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"did not work: {', '.join(failed)}")


if __name__ == "__main__":
    main()
