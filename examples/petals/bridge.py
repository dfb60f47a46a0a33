"""OpenAI's API in front of a private swarm: /v1/models, /v1/completions, and /v1/chat/completions.

Embeddings and the last layer's head are computed here, the layers between them by the swarm. Every request has a seed
of its own. While layers are missing requests are answered with 503, so a client that waits and asks again goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import select
import socket
import traceback
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import moved_names  # noqa: F401  before petals
import swarm_folder
import torch
from petals import AutoDistributedModelForCausalLM
from petals.client import inference_session
from transformers import (
    AutoTokenizer,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
KNOWN = {"model", "prompt", "messages", "max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "n", "stream"}


# Python may collect a session in the very thread whose answer `close` waits for: all requests would stop for ever.
# Here every session is closed by a `with`.
inference_session.InferenceSession.__del__ = lambda session: None
inference_session._ServerInferenceSession.__del__ = lambda session: None


class Wrong(Exception):
    """A request that cannot be met, and the status that says so."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class Left(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class Asked:
    """What a request says about sampling."""

    most: int
    temperature: float
    top_p: float
    top_k: int
    seed: int | None
    stop: list[str]

    @classmethod
    def of(cls, body: dict[str, Any]) -> Asked:
        """Read a request, and refuse what would be ignored."""
        unknown = sorted(set(body) - KNOWN)
        if unknown or body.get("stream") or body.get("n", 1) != 1:
            raise Wrong(HTTPStatus.BAD_REQUEST, f"not supported here: {', '.join(unknown) or 'stream, or n above 1'}")
        stop = body.get("stop") or []
        try:
            asked = cls(
                int(body.get("max_tokens", 16)), float(body.get("temperature", 1)), float(body.get("top_p", 1)),
                int(body.get("top_k", 0)), body.get("seed"), [stop] if isinstance(stop, str) else list(stop),
            )  # fmt: skip
        except (TypeError, ValueError) as error:
            raise Wrong(HTTPStatus.BAD_REQUEST, f"a number is wanted: {error}") from error
        if asked.most < 1 or asked.temperature < 0 or not 0 < asked.top_p <= 1 or asked.top_k < 0:
            raise Wrong(HTTPStatus.BAD_REQUEST, f"out of range: {asked}")
        return asked

    def warpers(self) -> LogitsProcessorList:
        """What is done to the logits before a token is drawn."""
        steps: list[Any] = [TemperatureLogitsWarper(self.temperature)]
        if self.top_k:
            steps.append(TopKLogitsWarper(self.top_k))
        if self.top_p < 1:
            steps.append(TopPLogitsWarper(self.top_p))
        return LogitsProcessorList(steps)

    def generator(self) -> torch.Generator:
        """Draws this request's tokens, whatever else is under way."""
        generator = torch.Generator()
        generator.seed() if self.seed is None else generator.manual_seed(self.seed)
        return generator


class Swarm:
    """The model, most of which is elsewhere."""

    def __init__(self, model: Path, swarm: Path, dtype: torch.dtype, name: str, wait: float) -> None:
        self.name = name
        self._tokenizer = AutoTokenizer.from_pretrained(model)
        self._model = AutoDistributedModelForCausalLM.from_pretrained(
            model, initial_peers=_peers(swarm, wait), dht_prefix=swarm_folder.prefix(model), torch_dtype=dtype,
            use_chunked_forward=False, show_route=False,
            max_retries=3, request_timeout=60, ban_timeout=3, update_period=15,
        )  # fmt: skip

    def encode(self, body: dict[str, Any], *, chat: bool) -> torch.Tensor:
        """The tokens of a prompt or of messages, with shape (1, tokens)."""
        if chat:
            if self._tokenizer.chat_template is None:
                raise Wrong(HTTPStatus.BAD_REQUEST, "the model has no chat template; use /v1/completions")
            ids = self._tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True)
        else:
            ids = self._tokenizer(body["prompt"])["input_ids"]
        if not ids:
            raise Wrong(HTTPStatus.BAD_REQUEST, "the prompt has no tokens")
        return torch.tensor([ids])

    def generate(self, ids: torch.Tensor, asked: Asked, still_asked: Any) -> tuple[str, str, int]:
        """A text, how it ended, and its tokens."""
        longest = self._model.config.max_position_embeddings
        if ids.shape[1] + asked.most > longest:
            raise Wrong(HTTPStatus.BAD_REQUEST, f"{ids.shape[1]} + {asked.most} tokens, and the model takes {longest}")
        made: list[int] = []
        text, reason = "", "length"
        warpers = None if asked.temperature == 0 else asked.warpers()
        generator = asked.generator()
        with torch.inference_mode(), self._model.inference_session(max_length=ids.shape[1] + asked.most):
            step = ids
            while len(made) < asked.most and reason == "length":
                if not still_asked():
                    raise Left
                logits = self._model(step).logits[:, -1].float()
                step = _draw(logits, torch.cat([ids, torch.tensor([made], dtype=torch.long)], 1), warpers, generator)
                made.append(int(step))
                if made[-1] == self._tokenizer.eos_token_id:
                    reason = "stop"
                text = self._tokenizer.decode(made, skip_special_tokens=True, clean_up_tokenization_spaces=False)
                if any(stop in text for stop in asked.stop):
                    text, reason = text[: min(text.find(stop) for stop in asked.stop if stop in text)], "stop"
        return text, reason, len(made)


def _draw(
    logits: torch.Tensor, before: torch.Tensor, warpers: LogitsProcessorList | None, generator: torch.Generator
) -> torch.Tensor:
    if warpers is None:
        return logits.argmax(-1, keepdim=True)
    return torch.multinomial(warpers(before, logits).softmax(-1), 1, generator=generator)


def _peers(swarm: Path, wait: float) -> list[str]:
    found = swarm_folder.addresses(swarm, wait=wait)
    if not found:
        raise SystemExit(f"No server of the swarm in {swarm} answers. Start them first: serve.py.")
    return found


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    swarm: Swarm

    def do_GET(self) -> None:
        """List the one model."""
        if self.path != "/v1/models":
            self._answer(HTTPStatus.NOT_FOUND, {"error": {"message": f"there is no {self.path}"}})
            return
        self._answer(
            HTTPStatus.OK,
            {"object": "list", "data": [{"id": self.swarm.name, "object": "model", "owned_by": "petals"}]},
        )

    def do_POST(self) -> None:
        """Generate."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self._answer(HTTPStatus.OK, self._completion(body))
        except Wrong as wrong:
            self._answer(wrong.status, {"error": {"message": str(wrong)}})
        except Left:
            self.close_connection = True
        except Exception as error:  # whatever libp2p and a server elsewhere may raise
            logging.warning("%s", "".join(traceback.format_exception_only(type(error), error)).strip())
            message = f"the swarm does not answer: {type(error).__name__}: {error}"
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": {"message": message}})

    def _completion(self, content: bytes) -> dict[str, Any]:
        chat = self.path == "/v1/chat/completions"
        if not chat and self.path != "/v1/completions":
            raise Wrong(HTTPStatus.NOT_FOUND, f"there is no {self.path}")
        try:
            body = json.loads(content)
            if body["model"] != self.swarm.name:
                raise Wrong(HTTPStatus.NOT_FOUND, f"there is {self.swarm.name} alone")
            asked = Asked.of(body)
            ids = self.swarm.encode(body, chat=chat)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Wrong(HTTPStatus.BAD_REQUEST, f"{type(error).__name__}: {error}") from error
        text, reason, tokens = self.swarm.generate(ids, asked, self._still_asked)
        part = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        usage = {"prompt_tokens": ids.shape[1], "completion_tokens": tokens, "total_tokens": ids.shape[1] + tokens}
        return {
            "object": "chat.completion" if chat else "text_completion", "model": self.swarm.name,
            "choices": [{"index": 0, "finish_reason": reason, **part}], "usage": usage,
        }  # fmt: skip

    def _still_asked(self) -> bool:
        """Whether the client has not hung up: the swarm's time is other people's."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return not readable or bool(self.connection.recv(1, socket.MSG_PEEK))

    def _answer(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *values: Any) -> None:
        """One line a request would hide the rest."""


def main() -> None:
    """Answer until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder with the checkpoint: for tokenizer, embeddings and head")
    parser.add_argument("--swarm", type=Path, required=True, help="folder of the swarm")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--host", default="127.0.0.1", help="there is no password: leave it on loopback")
    parser.add_argument("--name", help="what clients call the model (default: the folder's name)")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32", help="of embeddings and head")
    parser.add_argument("--wait", type=float, default=120, help="seconds to wait for a first server")
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    name = options.name or options.model.resolve().name
    Handler.swarm = Swarm(options.model, options.swarm, DTYPES[options.dtype], name, options.wait)
    server = ThreadingHTTPServer((options.host, options.port), Handler)
    print(f"The bridge to {name} listens on http://{options.host}:{options.port}/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
