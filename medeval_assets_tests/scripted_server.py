"""A real HTTP server on loopback that serves a real tiny model, right or in the ways that servers go wrong."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Received:
    """A request as it arrived. place: how many of its path came before."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Json
    place: int

    @property
    def said(self) -> str:
        """What identifies the prompt, whoever sends it: its tokens or its last message."""
        if "messages" in self.body:
            return str(self.body["messages"][-1]["content"])
        prompt = self.body.get("prompt", [])
        return json.dumps(prompt[0] if prompt and isinstance(prompt[0], list) else prompt)


class TinyModel:
    """Completions of a checkpoint by the plainest loop there is: one forward pass over everything for each token."""

    def __init__(self, folder: Path, name: str = "tiny") -> None:
        import transformers

        library: Any = transformers
        self.name = name
        self.tokenizer = library.AutoTokenizer.from_pretrained(folder)
        self.model = library.AutoModelForCausalLM.from_pretrained(folder).eval()
        self._ends = set(self.model.generation_config.eos_token_id)
        self._lock = threading.Lock()

    def logprobs(self, tokens: Sequence[int]) -> Any:
        """After each of the tokens: (tokens, vocabulary)."""
        import torch

        with self._lock, torch.inference_mode():
            return self.model(torch.tensor([list(tokens)])).logits[0].float().log_softmax(-1)

    def go_on(self, prompt: Sequence[int], body: Json) -> Json:
        """One choice as vLLM gives it, with all that it can be asked for."""
        ends = self._ends | set(body.get("stop_token_ids") or [])
        stops = body.get("stop") or []
        tokens: list[int] = []
        steps: list[dict[str, float]] = []
        finish = "length"
        while len(tokens) < (body.get("max_tokens") or body["max_completion_tokens"]):
            row = self.logprobs([*prompt, *tokens])[-1]
            tokens.append(int(row.argmax()))
            wanted = {*body.get("logprob_token_ids", []), tokens[-1]}
            steps.append({f"token_id:{token}": float(row[token]) for token in wanted})
            text = self.tokenizer.decode(tokens, skip_special_tokens=True)
            if tokens[-1] in ends or any(stop in text for stop in stops):
                finish = "stop"
                break
        cut = min((place for stop in stops if (place := text.find(stop)) >= 0), default=None)
        return {
            "text": text[:cut],
            "finish_reason": finish,
            "token_ids": tokens,
            "prompt_token_ids": list(prompt),
            "logprobs": {"top_logprobs": steps, "token_logprobs": [max(step.values()) for step in steps]},
        }

    def read(self, prompt: Sequence[int]) -> Json:
        """One choice of a prompt that is only read (`echo`)."""
        rows = self.logprobs(prompt)
        values = [float(rows[place, token]) for place, token in enumerate(prompt[1:])]
        return {
            "text": "",
            "finish_reason": "length",
            "prompt_token_ids": list(prompt),
            "token_ids": [],
            "logprobs": {"token_logprobs": [None, *values], "top_logprobs": []},
        }

    def completions(self, body: Json) -> Json:
        prompts = body["prompt"] if isinstance(body["prompt"][0], list) else [body["prompt"]]
        reading = body.get("echo") and body["max_tokens"] == 0
        choices = [self.read(prompt) if reading else self.go_on(prompt, body) for prompt in prompts]
        generated = sum(len(choice["token_ids"]) for choice in choices)
        usage = {"prompt_tokens": sum(map(len, prompts)), "completion_tokens": generated}
        return {"choices": [{"index": place, **choice} for place, choice in enumerate(choices)], "usage": usage}

    def chat(self, body: Json) -> Json:
        prompt = self.tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True)["input_ids"]
        choice = self.go_on(prompt, body)
        message = {"role": "assistant", "content": choice["text"]}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(choice["token_ids"])}
        return {"choices": [{"index": 0, "message": message, "finish_reason": choice["finish_reason"]}], "usage": usage}

    def answer(self, received: Received) -> tuple[int, Json]:
        """(status, content) as a healthy vLLM gives it."""
        if received.path == "/v1/models":
            return 200, {"data": [{"id": self.name, "owned_by": "vllm", "max_model_len": 4096}]}
        if received.path == "/version":
            return 200, {"version": "0.0.1"}
        if received.body.get("model") != self.name:
            return 404, {"error": {"message": "no such model", "type": "NotFoundError", "param": "model", "code": 404}}
        return 200, self.chat(received.body) if received.path == "/v1/chat/completions" else self.completions(
            received.body
        )


class Reply:
    """What a script may do with a request instead of the right thing."""

    def __init__(self, handler: BaseHTTPRequestHandler, right: Callable[[], tuple[int, Json]], over: threading.Event):
        self._handler = handler
        self._right = right
        self._over = over

    def send(
        self, status: int, content: bytes, headers: Mapping[str, str] | None = None, length: int | None = None
    ) -> None:
        """length: what the header claims, where that is not so."""
        self._handler.send_response(status)
        for name, value in (headers or {}).items():
            self._handler.send_header(name, value)
        self._handler.send_header("Content-Length", str(len(content) if length is None else length))
        self._handler.end_headers()
        self._handler.wfile.write(content)

    def send_json(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.send(status, json.dumps(content).encode(), headers)

    def right(self) -> Json:
        """The right content, to be changed."""
        return self._right()[1]

    def go_right(self) -> None:
        status, content = self._right()
        self.send_json(content, status)

    def go_right_twice(self) -> None:
        self.go_right()
        self.go_right()

    def reset(self) -> None:
        """End the connection as a machine does that is switched off and on again."""
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._handler.close_connection = True
        self._handler.connection.close()

    def hang(self) -> None:
        self._over.wait(60)
        self._handler.close_connection = True

    def cut_short(self) -> None:
        """Half of the bytes that the header promises."""
        content = json.dumps(self.right()).encode()
        self.send(200, content[: len(content) // 2], length=len(content))
        self._handler.close_connection = True

    def malformed(self) -> None:
        """Half of the JSON, as a whole answer."""
        content = json.dumps(self.right()).encode()
        self.send(200, content[: len(content) // 2])


Script = Callable[[Received, Reply], None]


def healthy(received: Received, reply: Reply) -> None:
    reply.go_right()


@dataclass
class ScriptedServer:
    """script: decides what becomes of each request; may be replaced while it runs."""

    model: TinyModel
    script: Script = healthy
    received: list[Received] = field(default_factory=list)
    address: str = ""

    def asked(self, path: str) -> list[Received]:
        """The requests of a path, such as `/v1/completions`, without the ones that find out what a server can do."""
        probe = json.dumps(self.model.tokenizer("The patient is well.")["input_ids"])
        return [one for one in self.received if one.path == path and one.said != probe]

    @contextmanager
    def running(self, port: int = 0) -> Iterator[ScriptedServer]:
        outer, over, lock = self, threading.Event(), threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else {}
                with lock:
                    place = sum(one.path == self.path for one in outer.received)
                    one = Received(self.command, self.path, dict(self.headers), body, place)
                    outer.received.append(one)
                outer.script(one, Reply(self, lambda: outer.model.answer(one), over))

            do_GET = do_POST  # noqa: N815 - the name that the library calls

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that has gone

        server = Server(("127.0.0.1", port), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self.address = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield self
        finally:
            over.set()
            server.shutdown()
            server.server_close()
            thread.join()
