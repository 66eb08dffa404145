"""The bench runs, and what it prints has its shape; its ratios are not absurd. No absolute time is judged."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import streams
from streams.bench import clicks, comments, memory, plot, reads, savings, stages
from streams.bench.tables import clicks_table
from tests.vllm_stub import serving

pytestmark = pytest.mark.alone

PEERS = ("faust", "faust_take", "quixstreams", "bytewax")


@pytest.fixture(scope="module")
def result():
    return clicks.measure(events=8_000, rounds=1, batches=(100,), longest_seconds=6.0, without=PEERS)


def test_clicks_are_measured_side_by_side(result):
    (name,) = result["ratios"]
    assert name == "no_framework"
    assert {run["contestant"] for run in result["runs"]} == {"penchant", "no_framework"}
    for run in result["runs"]:
        assert run["batch"] == 100
        assert 0 < run["events"] <= 8_000
        assert run["events"] == pytest.approx(run["throughput"] * run["wall_seconds"])
        assert run["worker_us"] > 0
    assert 0.02 < result["ratios"][name]["throughput"] < 50
    assert 0.1 < result["ratios"][name]["worker_cpu"] < 20
    json.dumps(result)


def test_clicks_are_shown_as_a_table_and_a_picture(result, tmp_path):
    (table,) = clicks_table(result)
    assert table.row_count == 2
    plot.throughput(result, tmp_path / "images" / "throughput.svg")
    assert "no_framework" in (tmp_path / "images" / "throughput.svg").read_text()


def test_reads_take_one_round_trip_for_a_hundred_users():
    result = reads.measure(users=200, calls=200)
    assert result["many_100_round_trips"] == 1
    assert result["ratios"]["top_p50"] < 20
    assert result["zrange_us"]["p50"] <= result["zrange_us"]["p99"]


def test_evidence_and_the_duplicate_window_cost_memory():
    by_variant = memory.measure(users=200)["bytes_per_user"]
    bare, plain, full = (
        by_variant[name] for name in ("without_evidence_and_duplicate_window", "without_evidence", "with_evidence")
    )
    assert 500 < bare < plain < full


def test_what_gate_repeats_and_ledger_save_adds_up():
    result = savings.measure(savings.Stream(events=1_000, seed=3))  # one that holds a text for the gate
    assert result["share_avoided"] == pytest.approx(sum(result["by"].values()))
    assert result["calls_per_thousand_events"] == pytest.approx(1000 * (1 - result["share_avoided"]))
    assert all(share > 0 for share in result["by"].values())
    never_the_same = savings.measure(savings.Stream(events=1_000, written=1.0, own=1.0))
    assert never_the_same["by"]["ledger"] < 0.01


def test_measuring_stages_leaves_the_environment_as_it_is():
    before = dict(os.environ)
    result = stages.measure(events=200, batch=100)
    assert result["worker_total_us"] > 0
    assert dict(os.environ) == before


async def test_comments_are_measured_behind_a_server():
    async with serving() as stub:
        result = await asyncio.to_thread(comments.measure, url=stub.url, model="penchant", texts=6, seconds=1.0)
    assert set(result["comments_per_second"]) == {"plain_client", "penchant"}
    assert 0 < result["ratios"]["plain_client"] < 1.5, "nothing is faster than a client that does nothing else"
    assert list(result["waits_ms"]) == ["20%", "50%", "80%"]
    assert all(0 < w["p50"] <= w["p99"] for waits in result["waits_ms"].values() for w in waits.values())


def test_a_peer_that_cannot_be_installed_is_said_in_one_line(tmp_path):
    command = [sys.executable, "-m", "streams.cli", "bench", "clicks", "--quick", "--json"]
    root = str(Path(streams.__file__).parents[1])
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": root, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "package index" in done.stderr
    assert "Traceback" not in done.stderr
