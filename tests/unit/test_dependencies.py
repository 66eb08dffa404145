"""Dependencies are asked by name; an outage is said once, and so is its end."""

import pytest
import structlog
from structlog.testing import capture_logs

from streams.dependencies import Watch, dependency_checks
from streams.observer import DependencyChecked, Recorder
from streams.settings import load_settings
from tests.vllm_stub import serving


async def test_an_outage_is_said_once_and_its_end_too():
    state = {"up": True}

    async def check():
        if not state["up"]:
            raise ConnectionError

    recorder = Recorder()
    watch = Watch({"redis": check}, recorder)
    structlog.reset_defaults()
    with capture_logs() as logs:
        for state["up"] in (True, False, False, True, True):
            await watch.look()
    assert [entry["event"] for entry in logs] == ["dependency_down", "dependency_up_again"]
    assert recorder.events == [DependencyChecked("redis", up) for up in (True, False, False, True, True)]


def test_vllm_is_a_dependency_only_where_it_reads():
    embedded = dependency_checks(load_settings(), None, None)
    assert set(embedded) == {"redis", "kafka"}
    vllm = dependency_checks(load_settings(extraction="vllm", vllm_urls=("http://127.0.0.1:9/v1",)), None, None)
    assert set(vllm) == {"redis", "kafka", "vllm"}


async def test_one_vllm_server_that_answers_is_enough():
    nowhere = "http://127.0.0.1:9/v1"
    async with serving() as stub:
        checks = dependency_checks(load_settings(extraction="vllm", vllm_urls=(nowhere, stub.url)), None, None)
        await checks["vllm"]()
    with pytest.raises(ConnectionError, match="no vLLM server"):
        await dependency_checks(load_settings(extraction="vllm", vllm_urls=(nowhere,)), None, None)["vllm"]()
