"""One server of a private swarm: holds some of the model's layers.

Its address is kept in the folder of the swarm, where the other servers and the bridge look for it; so it has the same
one when it is started again. Options that it does not know go to `petals.cli.run_server`, as --device or
--quant_type.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import moved_names  # noqa: F401  before petals
import swarm_folder
from hivemind.p2p import P2P, PeerID
from petals.cli import run_server


def _options() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder with the checkpoint")
    parser.add_argument("--swarm", type=Path, required=True, help="folder of the swarm, which all of it can read")
    parser.add_argument("--blocks", required=True, help="layers to hold, as 0:16 (the last is not among them)")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1", help="address of this machine that the others reach")
    parser.add_argument("--dtype", default="float32", help="of weights and sums: float32, bfloat16 or float16")
    parser.add_argument("--first", action="store_true", help="start the swarm; for one server alone")
    return parser.parse_known_args()


def _announce(options: argparse.Namespace) -> Path:
    """Note the server's address in the folder of the swarm; returns the file with its identity."""
    identity = options.swarm / f"{options.host}-{options.port}.identity"
    if not identity.exists():
        P2P.generate_identity(str(identity))
    swarm_folder.note(options.swarm, options.host, options.port, PeerID.from_identity(identity.read_bytes()))
    return identity


def main() -> None:
    """Serve until killed."""
    options, others = _options()
    options.swarm.mkdir(parents=True, exist_ok=True)
    identity = _announce(options)
    peers = swarm_folder.addresses(
        options.swarm, besides=(options.host, options.port), wait=0 if options.first else float("inf")
    )
    # At its start Petals asks the package index for a newer Petals, of which there is none, and waits for the answer.
    run_server.validate_version = lambda: None
    sys.argv[1:] = [
        str(options.model), "--dht_prefix", swarm_folder.prefix(options.model), "--block_indices", options.blocks,
        "--host_maddrs", f"/ip4/{options.host}/tcp/{options.port}", "--identity_path", str(identity),
        # What Petals would measure over the internet matters only where servers are chosen among many.
        "--throughput", "1",
        # By itself Petals makes bfloat16 of a checkpoint in float32, and says so in its log alone.
        "--torch_dtype", options.dtype,
        *(["--initial_peers", *peers] if peers else ["--new_swarm"]),
        *others,
    ]  # fmt: skip
    run_server.main()


if __name__ == "__main__":
    main()
