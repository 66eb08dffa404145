"""Interests read by vLLM servers, over their OpenAI-compatible API."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from inference import parsing, prompt
from inference.agreement import settled
from inference.extraction import BAD_ANSWER, Estimator, Extraction, Interest, Overloaded, Passage, Suggestion, Tier
from inference.prompt import Style
from inference.taxonomy import Taxonomy
from inference.vllm_servers import Server, Servers

LIVE, REPLAY = 0, 1
priority: ContextVar[int] = ContextVar("priority", default=LIVE)
"""The priority of what is read now. Servers take LIVE before REPLAY if run with ``--scheduling-policy priority``."""

_ATTEMPTS = 4
_FIRST_PAUSE = 0.2
_LONGEST_WAIT = 5.0
_MISCONFIGURED_WAIT = 30.0
_MAX_TOKENS = {Style.TUNED: 96, Style.PLAIN: 192}
_DEFAULT_CONFIDENCE = 0.8
_SERVER_ERROR = 500
_BUSY = (429, 503)
_NOT_FOUND = 404
_NOT_ALLOWED = (401, 403, _NOT_FOUND)
_OK = 200


class _Retry(Exception):  # noqa: N818 - a way back to the loop, never seen outside
    """The request did not succeed, and may elsewhere or later."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


@dataclass(frozen=True, slots=True)
class _Reply:
    """What a server answered: its text, why it ended, tokens spent, bytes and log probability of each token.

    ``suggested`` are the interests that the model was shown; ``refused`` is the reason of a server that will not take
    this text.
    """

    text: str = ""
    finish: str | None = None
    tokens: int = 0
    logprobs: tuple[tuple[bytes, float], ...] = ()
    suggested: tuple[Interest, ...] = ()
    refused: str | None = None


class VllmExtractor:
    """Reads each passage with one request, many in flight.

    ``urls`` are base URLs ending in /v1, ``concurrency`` counts requests in flight by server, on average. A failed
    request is retried on the server with the fewest in flight; one whose answer is garbage once, then ``fallback``
    reads the passage. The fallback also makes a tuned model's suggestions. A server that lists MODEL@TAG beside MODEL
    serves a model trained for that prompt and schema: another tag than ours is refused, and without one the model is
    told the task in the prompt.

    Raises ValueError without urls; ``extract`` raises Overloaded only.
    """

    def __init__(
        self,
        *,
        urls: Sequence[str],
        model: str = "penchant",
        token: str | None = None,
        timeout_seconds: float = 30.0,
        concurrency: int = 64,
        fallback: Estimator,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        if not urls:
            raise ValueError("no vLLM server: give at least one base URL, for example http://host:8000/v1")
        self._model = model
        self._fallback = fallback
        self._taxonomy = Taxonomy.load()
        self._slugs = tuple(c.slug for c in self._taxonomy.concepts)
        self._schema = prompt.schema(self._slugs)
        self._servers = Servers(urls, time.monotonic)
        in_flight = concurrency * len(self._servers)
        self._turn = asyncio.Semaphore(in_flight)
        self._http = httpx2.AsyncClient(
            timeout=timeout_seconds,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            limits=limits(in_flight),
            transport=transport,
        )

    @property
    def reader(self) -> str:
        """Model, prompt and schema version, and who makes suggestions."""
        return f"vllm/{self._model}/{prompt.tag()}/{self._fallback.reader}"

    async def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Read the passages, all at once as far as concurrency allows.

        One that finds the servers resting ends no other: that may be the very request that probes one of them.
        """
        outcomes = await asyncio.gather(*map(self._read, passages), return_exceptions=True)
        raised = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if raised:
            raise next((error for error in raised if not isinstance(error, Overloaded)), raised[0])
        return [outcome for outcome in outcomes if isinstance(outcome, Extraction)]

    async def aclose(self) -> None:
        """Close the connections. The fallback is whoever gave it's to close."""
        await self._http.aclose()

    async def _read(self, passage: Passage) -> Extraction:
        async with self._turn:
            reply = await self._ask(passage)
            answer, spent = parsing.parse(reply.text, reply.finish), reply.tokens
            if answer.failure and not reply.refused:
                reply = await self._ask(passage)
                answer, spent = parsing.parse(reply.text, reply.finish), spent + reply.tokens
        if answer.failure:
            (estimate,) = await self._fallback.extract([passage])
            reason = reply.refused or f"{BAD_ANSWER}{answer.failure}"
            return replace(estimate, tokens=spent, dropped=(*estimate.dropped, (reason, 1)))
        sure = parsing.confidences(reply.text, answer, reply.logprobs, _DEFAULT_CONFIDENCE)
        found = parsing.interests(answer, self._taxonomy.named, sure)
        return Extraction(
            tuple(settled(found, reply.suggested)),
            Tier.VLLM,
            self.reader,
            text=passage.text,
            tokens=spent,
            dropped=((f"{BAD_ANSWER}salvaged", 1),) if answer.salvaged else (),
        )

    async def _ask(self, passage: Passage) -> _Reply:
        """One answer, from whichever server gives it. Raises Overloaded when none does within a few attempts."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._servers.one() as server:
                    return await self._request(server, passage)
            except _Retry as failed:
                pause = _FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
                wait = max(failed.after or 0.0, pause)
                if attempt == _ATTEMPTS or wait > _LONGEST_WAIT:
                    raise Overloaded(wait, f"vLLM did not answer: {failed}") from None
            await asyncio.sleep(wait)
        raise AssertionError  # the loop returns or raises

    async def _request(self, server: Server, passage: Passage) -> _Reply:
        style = server.style or await self._meet(server)
        suggestion = await self._fallback.suggest(passage) if style is Style.TUNED else None
        body = self._body(passage, style, suggestion)
        response = await self._send(server, "POST", "/chat/completions", body)
        if response.status_code != _OK:
            return _Reply(refused=f"refused_{response.status_code}")
        try:
            reply = _reply(response.json())
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return _Reply()
        self._servers.worked(server)
        return replace(reply, suggested=suggestion.interests if suggestion else ())

    async def _meet(self, server: Server) -> Style:
        """What a server serves, and so how to ask it."""
        response = await self._send(server, "GET", "/models", None)
        try:
            names = {str(entry["id"]) for entry in response.json()["data"]}
        except (ValueError, KeyError, TypeError):
            raise self._bar(server, "it lists no models: is the URL a vLLM base URL, ending in /v1?") from None
        tags = {name.removeprefix(f"{self._model}@") for name in names if name.startswith(f"{self._model}@")}
        if self._model not in names:
            raise self._bar(server, f"it serves {', '.join(sorted(names))}: set PENCHANT_VLLM_MODEL")
        if tags and prompt.tag() not in tags:
            raise self._bar(
                server,
                f"its model was trained for prompt.schema {', '.join(sorted(tags))}, not {prompt.tag()}: "
                "run `penchant train` again, or use the Penchant that trained it",
            )
        server.style = Style.TUNED if tags else Style.PLAIN
        return server.style

    def _bar(self, server: Server, trouble: str) -> _Retry:
        """Leave a server alone that an operator has to look at."""
        self._servers.rest(server, _MISCONFIGURED_WAIT, trouble)
        return _Retry(f"{server.url}: {trouble}")

    async def _send(self, server: Server, method: str, path: str, body: Mapping[str, Any] | None) -> httpx2.Response:
        """An HTTP exchange whose status is 200, or an error of the client's (400 and alike)."""
        try:
            response = await self._http.request(method, server.url + path, json=body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as why:
            self._servers.failed(server, type(why).__name__)
            raise _Retry(f"{server.url}: {type(why).__name__}") from None
        status = response.status_code
        if status == _NOT_FOUND and method == "GET":
            raise self._bar(server, f"it answered {status}: is the URL a vLLM base URL, ending in /v1?")
        if status in _NOT_ALLOWED:
            raise self._bar(server, f"it answered {status}: check PENCHANT_VLLM_TOKEN and PENCHANT_VLLM_MODEL")
        if status in _BUSY and (after := _seconds(response.headers.get("retry-after"))) is not None:
            self._servers.rest(server, after, f"it answered {status}")
            raise _Retry(f"{server.url} answered {status}", after if len(self._servers) == 1 else None)
        if status in _BUSY or status >= _SERVER_ERROR:
            self._servers.failed(server, f"it answered {status}")
            raise _Retry(f"{server.url} answered {status}")
        return response

    def _body(self, passage: Passage, style: Style, suggestion: Suggestion | None) -> dict[str, Any]:
        asked = prompt.messages(
            passage.text, style=style, suggestion=suggestion, context=passage.context, concepts=self._slugs
        )
        body: dict[str, Any] = {
            "model": self._model,
            "messages": asked,
            "temperature": 0,
            "max_tokens": _MAX_TOKENS[style],
            "logprobs": True,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "interests", "schema": self._schema},
            },
        }
        if style is Style.PLAIN:
            body["chat_template_kwargs"] = {"enable_thinking": False}
        if (now := priority.get()) != LIVE:
            body["priority"] = now
        return body


def limits(in_flight: int) -> httpx2.Limits:
    """Room for so many requests, on connections that we close before vLLM does, after five idle seconds."""
    return httpx2.Limits(max_connections=in_flight, max_keepalive_connections=in_flight, keepalive_expiry=3.0)


def _reply(body: Mapping[str, Any]) -> _Reply:
    choice = body["choices"][0]
    content = (choice.get("logprobs") or {}).get("content") or []
    return _Reply(
        text=choice["message"]["content"] or "",
        finish=choice.get("finish_reason"),
        tokens=int((body.get("usage") or {}).get("total_tokens", 0)),
        logprobs=tuple((bytes(t.get("bytes") or t["token"].encode()), float(t["logprob"])) for t in content),
    )


def _seconds(header: str | None) -> float | None:
    try:
        return min(60.0, max(0.0, float(header))) if header else None
    except ValueError:
        return None
