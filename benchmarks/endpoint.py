"""Rows a second of the endpoint engine against a bare asyncio loop on the same server.

    python -m benchmarks.endpoint [--seconds 0.2] [--rounds 5] [--work 8] [--url URL --model NAME]

The server is that of the tests, a process of its own whose every answer takes `--seconds`; with 0 it shows what the
engine itself costs. Or any real one, with `--url` and `--model`. At each concurrency both ways ask for the same rows
by turns, after an unmeasured round in which the engine finds out what the server bears. The bare loop does what a
script would: so many workers, each posting and reading the text, with the same HTTP client.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from promptmill.endpoint import wire
from promptmill.endpoint.engine import EndpointEngine
from promptmill.endpoint.options import EndpointOptions
from promptmill.endpoint.record import Served
from promptmill.engine.contract import Request
from promptmill.sampling import SamplingParameters
from tests.endpoint.server import MODEL

CONCURRENCIES = (1, 8, 64)
SAMPLING = SamplingParameters(max_new_tokens=16)


def main(options: argparse.Namespace) -> None:
    """Print a row of the table a concurrency."""
    with _server(options) as url:
        print("| concurrency | rows | bare loop, rows/s | engine, rows/s | ratio of each round | median |")
        print("|---|---|---|---|---|---|")
        for concurrency in CONCURRENCIES:
            rows = max(20, int(options.work * concurrency / max(options.seconds, 0.002 * concurrency)))
            engine = _engine(url, options.model, concurrency)
            _time_of_engine(engine, rows // 4)
            bare, ours = [], []
            for number in range(options.rounds):
                for way in ("bare", "engine") if number % 2 else ("engine", "bare"):
                    if way == "bare":
                        bare.append(rows / asyncio.run(_time_of_loop(url, options.model, rows, concurrency)))
                    else:
                        ours.append(rows / _time_of_engine(engine, rows))
            ratios = [one / other for one, other in zip(ours, bare, strict=True)]
            told = " ".join(f"{ratio:.3f}" for ratio in ratios)
            print(
                f"| {concurrency} | {rows} | {statistics.median(bare):.1f} | {statistics.median(ours):.1f} | {told} | "
                f"{statistics.median(ratios):.3f} |",
                flush=True,
            )


@contextmanager
def _server(options: argparse.Namespace) -> Iterator[str]:
    if options.url:
        yield options.url
        return
    command = [sys.executable, "-m", "tests.endpoint.server", "--seconds", str(options.seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def _engine(url: str, model: str, concurrency: int) -> EndpointEngine:
    served = Served("completions", {}, "unknown", "server")
    return EndpointEngine(model, SAMPLING, served, EndpointOptions((url,), concurrency=concurrency))


def _requests(rows: int) -> list[Request]:
    return [Request(place, place, prompt=f"What is the number {place}?") for place in range(rows)]


def _time_of_engine(engine: EndpointEngine, rows: int) -> float:
    start = time.perf_counter()
    done = sum(completion.error is None for completion in engine.generate(_requests(rows), lambda: False))
    if done != rows:
        raise RuntimeError(f"{rows - done} of {rows} rows failed")
    return time.perf_counter() - start


async def _time_of_loop(url: str, model: str, rows: int, concurrency: int) -> float:
    waiting, texts = iter(_requests(rows)), []
    settings = wire.settings_of(model, SAMPLING)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(timeout=None, limits=limits) as client:

        async def work() -> None:
            for request in waiting:
                asked = {**settings, "prompt": request.prompt, "seed": request.seed}
                response = await client.post(f"{url}/completions", json=asked)
                texts.append(response.raise_for_status().json()["choices"][0]["text"])

        start = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(concurrency)))
    if len(texts) != rows:
        raise RuntimeError(f"{rows - len(texts)} of {rows} rows failed")
    return time.perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=float, default=8, help="seconds that a round is to take, about")
    parser.add_argument("--url")
    parser.add_argument("--model", default=MODEL)
    main(parser.parse_args())
