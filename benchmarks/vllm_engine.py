"""promptmill's own vllm engine as one more way, beside vLLM bare (benchmarks/vllm_cpu.py) and in the same environment.

It answers each line on its standard input with the tokens that it generated for all prompts and the
seconds of processor time that they took.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from benchmarks.engine_prompts import benchmark_requests
from promptmill.placing.memory import GIB
from promptmill.sampling import SamplingParameters
from promptmill.vllm.engine import VllmEngine
from promptmill.vllm.loading import load
from promptmill.vllm.plan import VllmPlan


def main() -> None:
    """Load the model, say `ready`, and generate once a line."""
    options = _options()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # vLLM prints what it likes
    plan = VllmPlan(options.model, "float32", "none", gpus=0, memory_share=None, cache_bytes=2 * GIB)
    sampling = SamplingParameters(max_new_tokens=options.tokens, temperature=0, top_p=1)
    loaded = load(plan, options.threads)
    engine = VllmEngine(loaded, sampling, batch_size=options.rows)
    asked = benchmark_requests(options.prompts)
    answers.write("ready\n")
    answers.flush()
    for _ in sys.stdin:
        loaded.engine.reset_prefix_cache()  # it has the prompts of the round before, which a dataset asks only once
        before = time.process_time()
        tokens = sum(completion.completion_tokens or 0 for completion in engine.generate(asked, lambda: False))
        answers.write(f"{tokens} {time.process_time() - before}\n")
        answers.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rows", type=int, default=32, help="most rows at a time")
    return parser.parse_args()


if __name__ == "__main__":
    main()
