"""``python -m tests.faults.fuzz``: bad input by the million, into the three places that take what strangers send.

The decoder of events, the reader of a model's answers, and the Lua library behind the store. A crash is an exception
that should not be, a score that is no number, or a count that does not add up; each is printed with its input.
"""

import argparse
import asyncio
import json
import math
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator

from redis.asyncio import Redis

from inference.parsing import confidences, interests, parse
from profiles.model import Observation, Signal, Stance
from profiles.policy import Policy
from profiles.store import ProfileStore
from streams.decoding import Decoder
from streams.embedded import EmbeddedRedis
from streams.events import Rejected, TopicKind

CRASHES_SHOWN = 5
NOW_MS = 1_795_000_000_000
EVENTS = (
    (
        TopicKind.CLICKS,
        b'{"event_id":"e1","user_id":"u1","occurred_at":1795000000000,"action":"dwell","item_id":"i1","dwell_ms":12.5}',
    ),
    (
        TopicKind.CLICKS,
        b'{"specversion":"1.0","id":"e4","time":"2026-11-24T12:00:00+08:00","data":{"userId":7,"action":"click"}}',
    ),
    (
        TopicKind.COMMENTS,
        b'{"event_id":"e2","user_id":"u1","occurred_at":"2026-11-24T12:00:00Z","kind":"post","text":"\\u6211 do"}',
    ),
    (TopicKind.ITEMS, b'{"item_id":"i1","kind":"product","title":"Tent","tags":["a","b"],"category":"camping"}'),
    (
        TopicKind.COMMANDS,
        b'{"event_id":"e3","user_id":"u1","occurred_at":1795000000000,"command":"retract","event_ref":"item:i1"}',
    ),
)
ANSWERS = (
    '[{"e":"刘慈欣","c":"fiction","s":"like"},{"e":null,"c":"cats","s":"dislike"}]',
    '```json\n[{"e":"","c":"camping","s":"neutral"}]\n```',
    "[]",
    '[{"e":"a\\"b","c":"x","s":"like","extra":[1,2,{"k":[]}]}]',
)
SNIPPETS = (
    *("null", "true", "-1", "1e999", "NaN", "Infinity", "9" * 20, "9" * 400, '""', "[]", "{}", "[[[[", "}}}}", "{x}"),
    *('"\\ud800"', "\\u0000", "\0", "\ufeff", "🐈‍⬛", "\x7f", '"__proto__"', "'", '\\"', "\n", " " * 200, ",", ":"),
    *(
        "1970-01-01T00:00:00Z",
        "0001-01-01",
        "like",
        '"s":',
        "[" * 2000,
        '{"a":' * 2000,
        "occurred_at",
        "user_id",
        "ce_id",
    ),
)
VALUES = (
    *(None, True, 0, -1, 1, 2**63, -(2**70), 1e308, 0.1, 1795000000, 1795000000000000, "1795000000000", "1e3"),
    *("", " ", "like", "forget", "review", "2026-02-30T00:00:00Z", "9999-12-31T23:59:59-23:59", "\ud800"),
    *("0001-01-01T00:00:00+14:00", [], {}, [[]], {"title": []}, {"title": None, "tags": ["\ud800"]}, ["a", 1]),
    {"specversion": "1.0"},
)
NAMES = (
    *("event_id", "user_id", "occurred_at", "action", "item_id", "item", "dwell_ms", "kind", "text", "title", "tags"),
    *("command", "interest", "event_ref", "userId", "messageId", "timestamp", "data", "specversion", "id", "time", ""),
)
ODD = (
    "",
    " ",
    "\0",
    "\n",
    "{",
    "}",
    "%7B",
    "}{",
    "a\0b",
    "🐈",
    "\udcff",
    "*",
    "\\",
    ":",
    "item:",
    "x" * 511,
    "NaN",
    "1",
    "ß",
)


def mutate(rng: random.Random, seed: bytes) -> bytes:
    """A few changes: bytes flipped, cut, doubled, moved, snippets put in."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(7):
            case 0 if data:
                data[at % len(data)] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randint(1, 20)]
            case 2:
                data[at:at] = data[at : at + rng.randint(1, 40)]
            case 3:
                del data[at:]
            case 4:
                data[at:at] = rng.randbytes(rng.randint(1, 8))
            case _:
                data[at : at + rng.choice((0, 0, 1, 6))] = rng.choice(SNIPPETS).encode("utf-8", "surrogatepass")
    return bytes(data)


def distort(rng: random.Random, seed: bytes) -> bytes:
    """JSON still, but fields hold what they should not, are gone, or have other names."""
    body = json.loads(seed)
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(list(body) or ["x"])
        match rng.randrange(4):
            case 0:
                body.pop(name, None)
            case 1:
                body[rng.choice(NAMES)] = body.pop(name, None)
            case _:
                body[rng.choice((name, rng.choice(NAMES)))] = rng.choice((*VALUES, odd(rng), rng.random() * 1e16))
    return json.dumps(body).encode()


def fuzz_decoding(rng: random.Random, inputs: int) -> Iterator[tuple[str, Callable[[], str], object]]:
    """Mutated events through the decoders of all topics: an event or a reject with a reason."""
    decoders = {kind: Decoder(kind, max_future_skew_us=300_000_000, max_value_bytes=1_048_576) for kind in TopicKind}
    headers = (("ce_id", b"\xff"), ("ce_time", b"x"), ("other", None))
    for _ in range(inputs):
        kind, event = rng.choice(EVENTS)
        value = None if rng.random() < 0.001 else rng.choice((mutate, distort))(rng, event)
        decoder = decoders[kind if rng.random() < 0.9 else rng.choice(list(TopicKind))]
        some = headers[: rng.randrange(4)]

        def work(value: bytes | None = value, decoder: Decoder = decoder, some: tuple = some) -> str:
            decoded = decoder.decode(value, some, NOW_MS, b"\xff")
            if isinstance(decoded, Rejected):
                assert decoded.detail
                return decoded.reason.value
            return "event"

        yield "decode", work, value


def fuzz_answers(rng: random.Random, inputs: int) -> Iterator[tuple[str, Callable[[], str], object]]:
    """Mutated answers of a model: findings or a failure, and confidences that are probabilities."""
    for _ in range(inputs):
        output = mutate(rng, rng.choice(ANSWERS).encode()).decode("utf-8", "replace")
        finish = rng.choice(("stop", "length", None))
        pieces = [(c.encode(), rng.choice((-0.1, -3.0, 0.0, -9999.0))) for c in output[: rng.randrange(200)]]

        def work(output: str = output, finish: str | None = finish, pieces: list = pieces) -> str:
            answer = parse(output, finish)
            sure = confidences(output, answer, pieces, 0.5)
            assert all(0.0 <= value <= 1.0 for value in sure)
            made = interests(answer, lambda _: None, sure)
            assert len(made) == len(answer.found)
            return answer.failure.value if answer.failure else "salvaged" if answer.salvaged else "answer"

        yield "answer", work, output


def odd(rng: random.Random) -> str:
    """An id that some code may trip over; always valid Unicode, as decoded JSON is."""
    text = "".join(rng.choice(ODD) for _ in range(rng.randint(1, 3))) or "x"
    return text.encode("utf-8", "replace").decode()[:512]


def observations(rng: random.Random, number: int, start: int) -> list[Observation]:
    """Observations with odd names, of all times, with strengths from the smallest to far beyond any real one."""
    strengths = (5e-324, 1e-300, 1e-9, 0.3, 1.0, 5.0, 1e6, 1e100, 1e300)
    return [
        Observation(
            odd(rng),
            odd(rng),
            start + n,
            rng.choice((0, 1, rng.randrange(4 * 10**15), 1_795_000_000_000_000 + rng.randrange(10**12))),
            tuple(
                Signal(odd(rng), rng.choice(list(Stance)), rng.choice(strengths), odd(rng), odd(rng))
                for _ in range(rng.randrange(4))
            ),
            rng.choice((None, odd(rng))),
        )
        for n in range(number)
    ]


async def fuzz_lua(rng: random.Random, inputs: int, counts: Counter[str], crashes: list[str]) -> None:
    """Odd observations and commands through the store; then every score must be a number."""
    with EmbeddedRedis() as server:
        redis = Redis.from_url(server.url)
        store = ProfileStore(redis, Policy(max_interests=50), changes=True)
        await store.prepare()
        offset = 0
        while offset < inputs:
            batch = observations(rng, min(rng.randint(1, 80), inputs - offset), offset)
            offset += len(batch)
            again = batch[: rng.randrange(len(batch))] if rng.random() < 0.2 else []
            for part in (batch, again):
                try:
                    found = await store.record("fuzz/0", part)
                    outcome = found.applied + found.duplicates + found.replayed
                    assert outcome == len(part), f"{outcome} of {len(part)} accounted for"
                    counts["lua: observation"] += len(part)
                except Exception:  # noqa: BLE001 - that is what is looked for
                    crashes.append(f"lua {part[0]!r}...: {traceback.format_exc()}")
            command = (odd(rng), odd(rng), rng.randrange(4 * 10**15))
            try:
                await _command(rng, store, *command)
                counts["lua: command"] += 1
            except Exception:  # noqa: BLE001 - that is what is looked for
                crashes.append(f"lua command {command!r}: {traceback.format_exc()}")
        async for key in redis.scan_iter("*", count=1000):
            if await redis.type(key) == b"zset":
                for member, score in await redis.zrange(key, 0, -1, withscores=True):
                    counts["lua: score"] += 1
                    if not math.isfinite(score) or score != round(score):
                        crashes.append(f"lua: {key!r} {member!r} has score {score!r}")
        await redis.aclose()


async def _command(rng: random.Random, store: ProfileStore, user: str, subject: str, at: int) -> None:
    match rng.randrange(4):
        case 0:
            await store.forget(user, at)
        case 1:
            await store.retract(user, rng.choice(("", "item:")) + subject, at)
        case _:
            await store.rule(user, rng.choice(("pin", "unpin", "mute", "unmute")), subject, at)


def main() -> int:
    """Fuzz, and print what was counted. Exits 1 on a crash."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description="bad input by the million")
    parser.add_argument("--inputs", type=int, default=1_200_000, help="in all: three quarters to the decoder")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng, counts, crashes = random.Random(arguments.seed), Counter(), []
    began = time.monotonic()
    decoding, answers = arguments.inputs * 3 // 4, arguments.inputs // 6
    for source in (fuzz_decoding(rng, decoding), fuzz_answers(rng, answers)):
        for name, work, given in source:
            try:
                counts[f"{name}: {work()}"] += 1
            except Exception:  # noqa: BLE001 - that is what is looked for
                counts[f"{name}: crash"] += 1
                crashes.append(f"{name} {given!r:.300}: {traceback.format_exc()}")
    asyncio.run(fuzz_lua(rng, arguments.inputs - decoding - answers, counts, crashes))
    for crash in crashes[:CRASHES_SHOWN]:
        print(crash)
    inputs = sum(count for name, count in counts.items() if name != "lua: score")
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"inputs": inputs, "crashes": len(crashes), "seconds": seconds, "seed": arguments.seed, **counts}))
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
