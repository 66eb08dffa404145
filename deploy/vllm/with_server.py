"""Run a command beside a vLLM server on the CPU: with_server.py VLLM_DIR MODEL COMMAND...

VLLM_DIR is what setup.sh filled. The command finds the server in PENCHANT_VLLM_URLS, and PENCHANT_EXTRACTION is vllm.
The server is stopped in the end, whatever happens; its log is VLLM_DIR/serve.log. Exits as the command does.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from inference import serving

_START_SECONDS = 300
_STOP_SECONDS = 15


def main() -> int:
    """Serve, run, stop."""
    if len(sys.argv) < 4:  # noqa: PLR2004 - two folders and a command
        print(__doc__, file=sys.stderr)  # noqa: T201 - usage
        return 2
    folder, model, *command = sys.argv[1:]
    with _served(Path(folder), model) as url:
        environment = os.environ | {"PENCHANT_VLLM_URLS": url, "PENCHANT_EXTRACTION": "vllm"}
        return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - what we were told to run


@contextmanager
def _served(folder: Path, model: str) -> Iterator[str]:
    port = _free_port()
    serve = serving.cpu(model, vllm=str(folder / "venv/bin/vllm"), port=port)
    environment = os.environ | dict(serve.environment) | {"VLLM_CACHE_ROOT": str(folder / "cache")}
    log = folder / "serve.log"
    with log.open("w") as file:
        server = subprocess.Popen(  # noqa: S603 - our own command
            serve.command, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        print(f"starting {serve} (about half a minute; log: {log})", file=sys.stderr)  # noqa: T201 - progress
        _wait(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        _stop(server)


def _wait(health: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemExit(f"vLLM ended with {server.returncode} before it was ready: see {log}")
        try:
            with urllib.request.urlopen(health, timeout=2):  # noqa: S310 - our own address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise SystemExit(f"vLLM was not ready within {_START_SECONDS} s: see {log}")


def _stop(server: "subprocess.Popen[bytes]") -> None:
    """Ask first; a server with a request in flight may not listen, and then its whole group is killed."""
    server.terminate()
    try:
        server.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
