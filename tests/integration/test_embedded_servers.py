"""Embedded servers start, come back after a crash, leave nothing behind, and say why they do not start."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient
from redis import Redis

from streams.embedded import EmbeddedBroker, EmbeddedRedis, EmbeddedUnavailableError


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("server", [EmbeddedRedis, EmbeddedBroker])
def test_nothing_is_left(server):
    with server() as running:
        pid, folder = running.pid, running.folder
        assert folder.is_dir()
    assert gone(pid)
    assert not folder.exists()


def test_a_durable_valkey_keeps_its_data_over_a_crash():
    with EmbeddedRedis(durable=True) as server:
        url = server.url
        with Redis.from_url(url) as client:
            client.set("kept", "yes")
        server.kill()
        assert not server.running
        server.start()
        assert server.url == url
        with Redis.from_url(url) as client:
            assert client.get("kept") == b"yes"


def test_the_broker_speaks_kafka():
    with EmbeddedBroker() as server:
        KafkaAdminClient(bootstrap_servers=server.bootstrap, bootstrap_timeout_ms=5000).close()


def test_a_server_that_does_not_start_shows_its_log():
    class Broken(EmbeddedRedis):
        def command(self):
            return (*super().command(), "--no-such-setting", "1")

    with pytest.raises(EmbeddedUnavailableError, match="no-such-setting"):
        Broken().start()


def test_a_server_dies_with_the_process_that_started_it(tmp_path):
    code = (
        "import os, signal; from streams.embedded import EmbeddedRedis; server = EmbeddedRedis(); server.start();"
        "print(server.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=False
    ).stdout
    deadline = time.monotonic() + 5
    while not gone(int(told)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
