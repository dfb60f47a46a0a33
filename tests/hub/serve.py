"""Run a hub by hand: `python -m tests.hub.serve --model gpt2=FOLDER --user alice=hf_alice`."""

import argparse
import contextlib
import threading
from pathlib import Path

from tests.hub.server import HubServer
from tests.hub.state import Settings


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hub.serve", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="of the hub itself; 0 (the default) takes a free one")
    parser.add_argument("--model", action="append", default=[], metavar="ID=FOLDER", help="a model to serve")
    parser.add_argument("--dataset", action="append", default=[], metavar="ID=FOLDER", help="a dataset to serve")
    parser.add_argument("--user", action="append", default=[], metavar="NAME=TOKEN", help="who may write")
    parser.add_argument("--xet", action="store_true", help="let large files of --model and --dataset come by Xet")
    return parser.parse_args()


def main() -> None:
    """Serve until interrupted; the first line printed is the hub's URL."""
    arguments = _arguments()
    with HubServer(Settings(xet_for_added=arguments.xet), port=arguments.port) as hub:
        for kind, pairs in (("model", arguments.model), ("dataset", arguments.dataset)):
            for pair in pairs:
                repo_id, _, folder = pair.partition("=")
                hub.add_repo(kind, repo_id, Path(folder))
        for pair in arguments.user:
            name, _, token = pair.partition("=")
            hub.add_user(name, token=token)
        print(hub.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
