"""How vLLM is started for Penchant: the exact commands, for a GPU and for a CPU. Pure but for one small file read.

``python -m inference.serving FOLDER`` prints the command.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CARD = "penchant.json"
_HOST = "127.0.0.1"
PLAIN_MODEL = "Qwen/Qwen3-4B-Instruct-2507"
TUNED_LENGTH = 2048
STRUCTURED = "xgrammar"
CPU_ENGINE: Mapping[str, str | int] = {"dtype": "bfloat16", "max_num_seqs": 128, "block_size": 32}
"""The engine's own options on a CPU, as vLLM's Python interface spells them."""


def cpu_environment(cache_gib: int = 1, *, offline: bool = True) -> dict[str, str]:
    """The environment variables that vLLM needs on a CPU; ``offline`` for a model that lies in a folder."""
    hub = {"HF_HUB_OFFLINE": "1"} if offline else {}
    return {"VLLM_CPU_KVCACHE_SPACE": str(cache_gib), **hub, "VLLM_NO_USAGE_STATS": "1"}


@dataclass(frozen=True, slots=True)
class Serving:
    """A command and the environment variables it needs."""

    command: tuple[str, ...]
    environment: Mapping[str, str]

    def __str__(self) -> str:
        """The line to type in a shell."""
        assignments = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*assignments, shlex.join(self.command)])


def served_names(model: str, name: str) -> list[str]:
    """The names a model is served under: ``name`` and, for a folder that Penchant trained, NAME@TAG.

    The tag tells clients which prompt and schema the model was trained for. Raises ValueError for a card without one.
    """
    card = Path(model) / CARD
    if not card.exists():
        return [name]
    try:
        return [name, f"{name}@{json.loads(card.read_text(encoding='utf-8'))['tag']}"]
    except (ValueError, KeyError, TypeError) as why:
        raise ValueError(f"{card} names no tag: train the model again with `penchant train`") from why


def gpu(
    model: str = PLAIN_MODEL,
    *,
    name: str = "penchant",
    host: str = _HOST,
    port: int = 8000,
    options: Sequence[str] = (),
) -> Serving:
    """VLLM on a GPU: a plain instruct model from a hub, or a folder that ``penchant train`` wrote."""
    command = ("vllm", "serve", model, *_common(model, name, host, port), "--max-num-seqs", "256", *options)
    return Serving(command, {})


def cpu(
    model: str,
    *,
    vllm: str = "vllm",
    name: str = "penchant",
    host: str = _HOST,
    port: int = 8000,
    cache_gib: int = 1,
    eager: bool = True,
    options: Sequence[str] = (),
) -> Serving:
    """VLLM on a CPU. ``eager`` starts in half a minute; without it the model is compiled first, and answers faster."""
    size = [part for name, value in CPU_ENGINE.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    fast_start = ("--enforce-eager",) if eager else ()
    return Serving(
        (vllm, "serve", model, *_common(model, name, host, port), *size, *fast_start, *options),
        cpu_environment(cache_gib, offline=Path(model).is_dir()),
    )


def _common(model: str, name: str, host: str, port: int) -> list[str]:
    names = served_names(model, name)
    backend: dict[str, object] = {"backend": STRUCTURED}
    if len(names) == 1:
        # A plain model can fill its answer with the white space that JSON allows. A tuned one was trained on JSON
        # without any, which this switch (it asks for ", " and ": ") would take away from it.
        backend["disable_any_whitespace"] = True
    return [
        *("--served-model-name", *names),
        *("--host", host, "--port", str(port)),
        *("--max-model-len", str(TUNED_LENGTH) if len(names) > 1 else "8192"),
        *("--structured-outputs-config", json.dumps(backend)),
        *("--scheduling-policy", "priority"),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a command."""
    parser = argparse.ArgumentParser(prog="python -m inference.serving", description="how vLLM serves this model")
    parser.add_argument("model", nargs="?", default=PLAIN_MODEL, help=f"folder or hub name (default: {PLAIN_MODEL})")
    parser.add_argument("--cpu", action="store_true", help="for the CPU build of vLLM")
    parser.add_argument("--vllm", default="vllm", help="the vllm command (CPU)")
    parser.add_argument("--name", default="penchant", help="the name it is served under")
    parser.add_argument("--host", default=_HOST, help="the address to listen at; 0.0.0.0 for workers elsewhere")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args(arguments)
    serving = (
        cpu(given.model, vllm=given.vllm, name=given.name, host=given.host, port=given.port)
        if given.cpu
        else gpu(given.model, name=given.name, host=given.host, port=given.port)
    )
    sys.stdout.write(f"{serving}\n")


if __name__ == "__main__":
    main()
