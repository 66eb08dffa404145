"""A stand-in for a vLLM server: real HTTP, and answers in the shapes that vLLM 0.32 was seen to give."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inference import prompt

GOOD = '[{"e":"刘慈欣","c":"fiction","s":"like"}]'
CUT_OFF = '[{"e":"刘慈欣","c":"fiction","s":"like"},{"e":"三体","c":"bo'
CUT_OFF_EARLY = '[{"e":"刘慈欣刘慈欣刘慈欣'
GARBAGE = "Sure! Here is what I found: the user likes books."
WHITE_SPACE = "[" + " \n" * 40
COMPLETIONS = {
    "garbage": (GARBAGE, "stop"),
    "cut_off": (CUT_OFF, "length"),
    "cut_off_early": (CUT_OFF_EARLY, "length"),
    "white_space": (WHITE_SPACE, "length"),
}
_TOO_LONG = "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens."


def error(code: int, message: str) -> tuple[int, dict[str, Any]]:
    return code, {"error": {"message": message, "type": "BadRequestError", "param": None, "code": code}}


ERRORS: dict[str, tuple[int, dict[str, Any]]] = {
    "busy": error(429, "Too many requests"),
    "unavailable": error(503, "The server is overloaded"),
    "broken": error(500, "EngineCore encountered an issue."),
    "too_long": error(400, _TOO_LONG),
    "unauthorized": (401, {"error": "Unauthorized"}),
}


@dataclass
class Stub:
    """What the server says next: names of ``shapes`` in turn, the last one again and again."""

    shapes: list[str] = field(default_factory=lambda: ["ok"])
    models: Sequence[str] = ("penchant", f"penchant@{prompt.tag()}")
    retry_after: str | None = "0"
    text: str = GOOD
    delay: float = 0.0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    in_flight: int = 0
    most_in_flight: int = 0

    async def complete(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay)
            return await self._answer(self.shapes.pop(0) if len(self.shapes) > 1 else self.shapes[0])
        finally:
            self.in_flight -= 1

    async def _answer(self, shape: str) -> Response:
        if shape == "silent":
            await asyncio.sleep(30)
        if shape == "ok":
            return completion(self.text)
        if shape == "not_even_json":
            return Response("<html>Bad gateway</html>", media_type="text/html")
        if shape in COMPLETIONS:
            return completion(*COMPLETIONS[shape])
        status, body = ERRORS[shape]
        after = {"Retry-After": self.retry_after} if shape == "busy" and self.retry_after is not None else {}
        return JSONResponse(body, status, after)

    async def list_models(self, _: Request) -> Response:
        data = [{"id": m, "object": "model", "owned_by": "vllm", "max_model_len": 2048} for m in self.models]
        return JSONResponse({"object": "list", "data": data})


def completion(text: str, finish: str = "stop") -> Response:
    pieces = [text[at : at + 4] for at in range(0, len(text), 4)] + ["<eos>"] * (finish == "stop")
    logprobs = [{"token": p, "logprob": -0.01, "bytes": list(p.encode()), "top_logprobs": []} for p in pieces]
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "penchant",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None, "tool_calls": []},
                "logprobs": {"content": logprobs},
                "finish_reason": finish,
                "stop_reason": None,
            }
        ],
        "usage": {"prompt_tokens": 21, "total_tokens": 40, "completion_tokens": 19},
    }
    return Response(json.dumps(body, ensure_ascii=False), media_type="application/json")


@asynccontextmanager
async def serving(stub: Stub | None = None) -> AsyncIterator[Stub]:
    """The stub on a free port of this machine, while the context lasts; its base URL is ``stub.url``."""
    stub = stub or Stub()
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", stub.complete, methods=["POST"]),
            Route("/v1/models", stub.list_models),
        ]
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    stub.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    try:
        yield stub
    finally:
        server.should_exit = True
        await task
