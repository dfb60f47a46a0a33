"""vLLM's CPU build as one more way, for `benchmarks.engine --vllm PYTHON`; runs in a virtual environment of its own.

    make test-vllm                                  # makes .venv-vllm
    python -m benchmarks.engine MODEL --vllm .venv-vllm/bin/python

It starts once (two to three minutes, as it compiles), then answers each line on its standard input
with the tokens that it generated for all prompts and the seconds of processor time that they took.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time


def main() -> None:
    """Load the model, say `ready`, and generate once a line."""
    options = _options()
    # In this process: another for the engine would have a processor of its own.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, range(options.threads))))
    answers, sys.stdout = sys.stdout, sys.stderr  # vLLM prints what it likes
    from vllm import LLM, SamplingParams

    with open(options.prompts) as file:  # noqa: PTH123 - nothing of the project but this file is needed here
        prompts = [{"prompt_token_ids": ids} for ids in json.load(file)]
    model = LLM(options.model, dtype="float32", max_num_seqs=options.rows, max_model_len=1024)
    sampling = SamplingParams(temperature=0, max_tokens=options.tokens)
    answers.write("ready\n")
    answers.flush()
    for _ in sys.stdin:
        model.reset_prefix_cache()  # it has the prompts of the round before, which a dataset asks only once
        before = time.process_time()
        outputs = model.generate(prompts, sampling, use_tqdm=False)
        tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
        answers.write(f"{tokens} {time.process_time() - before}\n")
        answers.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("prompts", help="JSON: a list of lists of token ids")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rows", type=int, default=32, help="most rows at a time")
    return parser.parse_args()


if __name__ == "__main__":
    main()
