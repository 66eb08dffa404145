"""``python -m tests.faults.coverage``: a coverage-guided fuzzer (Atheris) on what takes bytes from strangers.

Three targets, each in a process of its own: ``decode`` (events as they come from Kafka), ``answer`` (what a model
says) and ``query`` (requests to the web page and its API). A crash is an exception that should not be, or an answer
that breaks a promise; its input is kept and printed. Needs the extra ``fuzz``; ``make fuzz-coverage`` installs it.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

TARGETS = ("decode", "answer", "query")
QUERIES = (
    b"/api/profile\nuser=u1&x=%E7%8C%AB\nBearer sesame\npenchant_token=x; a=b",
    b"/\ntoken=sesame\n\n",
    b"/static/../app.py\n\n\n",
    b"/api/why\nuser=%00&interest=%ED%A0%80\n\n",
    b"/metrics\n\n\n",
)
TOKEN = "sesame"  # noqa: S105 - made up for this fuzzer
NOW_MS = 1_795_000_000_000
_LONGEST = 4096


def decode() -> Callable[[bytes], None]:
    """First byte: the topic. Then CloudEvents headers up to a NUL NUL, and the value."""
    from streams.decoding import Decoder
    from streams.events import Rejected, TopicKind

    decoders = [Decoder(kind, max_future_skew_us=300_000_000, max_value_bytes=_LONGEST // 2) for kind in TopicKind]

    def run(data: bytes) -> None:
        if not data:
            return
        head, cut, value = data[1:].rpartition(b"\0\0")
        headers = [("ce_id", head), ("ce_time", head), ("content-type", head)] if cut else []
        decoded = decoders[data[0] % len(decoders)].decode(value, headers, NOW_MS, data[:8])
        if isinstance(decoded, Rejected):
            assert decoded.detail
        else:
            assert decoded.occurred_at is None or decoded.occurred_at <= NOW_MS * 1000 + 300_000_000

    return run


def answer() -> Callable[[bytes], None]:
    """First byte: how the answer ended. The rest is what the model said, and how sure it was of each character."""
    from inference.grounding import ground
    from inference.parsing import confidences, interests, parse
    from inference.taxonomy import Taxonomy

    taxonomy = Taxonomy.load()

    def run(data: bytes) -> None:
        text = data[1:].decode("utf-8", "replace")
        found = parse(text, (None, "stop", "length")[data[0] % 3] if data else None)
        sure = confidences(text, found, [(c.encode(), -float(i % 7)) for i, c in enumerate(text)], 0.5)
        assert all(0.0 <= value <= 1.0 for value in sure)
        made = interests(found, taxonomy.by_slug.get, sure)
        for interest in ground(text[: len(text) // 2], made, taxonomy).interests:
            assert interest.concept in taxonomy.by_slug
            assert interest.entity is None or interest.entity in text[: len(text) // 2]

    return run


def query() -> Callable[[bytes], None]:
    """Four lines: path, query, Authorization, Cookie. Without the token nothing but the open paths is answered."""
    from streams.web import WebState, create_web
    from streams.web.app import STATIC
    from streams.web.guard import OPEN_PATHS

    class Reader:
        async def top(self, *_: object) -> list[object]:
            return []

        async def why(self, *_: object) -> list[object]:
            return []

    state: dict[str, Any] = {"reader": Reader(), "horizons": {"now": 21600.0, "lasting": 2592000.0}}
    web = create_web(
        WebState(
            **state,
            recent_users=list,
            checks={},
            exposition=lambda: b"",
            token=TOKEN,
            requests_per_second=1e9,
        )
    )
    ours = {path.name for path in STATIC.iterdir()}
    loop = asyncio.new_event_loop()

    async def ask(path: bytes, asked: bytes, bearer: bytes, cookie: bytes) -> tuple[int, dict[bytes, bytes]]:
        headers = [(b"host", b"x"), (b"authorization", bearer), (b"cookie", cookie)]
        target = path.decode("utf-8", "replace")
        scope = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": target}
        rest = {"raw_path": path, "query_string": asked, "headers": headers, "client": ("x", 1), "server": ("x", 80)}
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, str]:
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await web({**scope, **rest}, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"])

    def run(data: bytes) -> None:
        path, asked, bearer, cookie = (data.split(b"\n", 3) + [b""] * 4)[:4]
        status, headers = loop.run_until_complete(ask(b"/" + path.lstrip(b"/"), asked, bearer, cookie))
        assert status < 500
        assert headers[b"content-security-policy"].startswith(b"default-src 'self'")
        shown = "/" + path.lstrip(b"/").decode("utf-8", "replace")
        if status == 200 and shown not in OPEN_PATHS:
            assert bearer.removeprefix(b"Bearer ") == TOKEN.encode()
            assert not shown.startswith("/static/") or Path(shown).name in ours

    return run


def seeds(target: str) -> list[bytes]:
    """What the fuzzer begins with. Imported here, because the child has to instrument what this imports."""
    from tests.faults.fuzz import ANSWERS, EVENTS

    if target == "decode":
        return [bytes([n]) + event for n in range(4) for _, event in EVENTS]
    return [b"\1" + a.encode() for a in ANSWERS] if target == "answer" else list(QUERIES)


def fuzz(target: str, arguments: list[str]) -> None:
    """Fuzz in this process, which Atheris ends."""
    import atheris

    with atheris.instrument_imports(include=["streams", "inference", "profiles", "starlette"]):
        run = {"decode": decode, "answer": answer, "query": query}[target]()
    atheris.Setup([sys.argv[0], *arguments], run)
    atheris.Fuzz()


def watch(target: str, seconds: int, folder: Path) -> dict[str, Any]:
    """Fuzz in a child process: what came of it."""
    corpus = folder / f"corpus-{target}"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", f"-max_len={_LONGEST}", "-timeout=10", "-rss_limit_mb=2048"]
    options = [*limits, "-print_final_stats=1", f"-artifact_prefix={folder}/{target}-", str(corpus)]
    command = [sys.executable, "-m", __spec__.name, "--child", target, *options]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    crashes = [path for path in folder.glob(f"{target}-*") if path.is_file()]
    for path in crashes:
        print(f"{target}: {path.name} {path.read_bytes()[:300]!r}\n{ended.stderr[-3000:]}")
    if ended.returncode and not crashes:
        print(ended.stderr[-3000:])
    runs = re.search(r"number_of_executed_units:\s*(\d+)", ended.stderr)
    covered = re.findall(r"cov: (\d+)", ended.stderr)
    failed = len(crashes) or int(ended.returncode != 0)
    return {
        "target": target,
        "runs": int(runs[1]) if runs else 0,
        "crashes": failed,
        "edges": int((covered or [0])[-1]),
    }


def main() -> int:
    """Fuzz all targets, one after another, and print what was counted. Exits 1 on a crash."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.coverage", description=__doc__)
    parser.add_argument("--seconds", type=int, default=120, help="for each target")
    parser.add_argument("--target", choices=TARGETS, action="append", help="only this one; may be repeated")
    parser.add_argument("--folder", type=Path, help="keep the corpus and what crashed here, and begin with it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penchant-fuzz-") as temporary:
        folder = arguments.folder or Path(temporary)
        found = [watch(target, arguments.seconds, folder) for target in arguments.target or TARGETS]
    print(json.dumps({"seconds_each": arguments.seconds, "targets": found}))
    return int(any(result["crashes"] for result in found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        fuzz(sys.argv[2], sys.argv[3:])
    sys.exit(main())
