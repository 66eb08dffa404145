"""The vLLM client against recorded shapes of vLLM's answers, over real HTTP."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from inference.extraction import Extraction, Interest, Overloaded, Passage, Suggestion, Tier
from inference.vllm_client import REPLAY, VllmExtractor, priority
from profiles.model import Stance
from tests.vllm_stub import Stub, serving

TEXT = "我最喜欢阅读科幻小说，特别是刘慈欣的作品。"


class Fallback:
    reader = "fallback"

    async def extract(self, passages):
        return [Extraction((), Tier.EMBEDDED, self.reader, text=p.text) for p in passages]

    async def suggest(self, passage):
        return Suggestion((Interest("fiction", "", Stance.LIKE, 0.5, "刘慈欣"),), ("books",))

    async def aclose(self):
        pass


@asynccontextmanager
async def client(*stubs, **settings):
    async with AsyncExitStack() as stack:
        urls = [(await stack.enter_async_context(serving(stub))).url for stub in stubs]
        extractor = VllmExtractor(urls=urls, fallback=Fallback(), **{"timeout_seconds": 5.0, **settings})
        stack.push_async_callback(extractor.aclose)
        yield extractor


async def read(extractor, text=TEXT):
    (extraction,) = await extractor.extract([Passage(text)])
    return extraction


async def test_an_answer_becomes_interests():
    async with client(stub := Stub(), token="secret") as extractor:  # noqa: S106 - of a stub
        found = await read(extractor)
    (interest,) = found.interests
    assert (interest.concept, interest.entity, interest.stance) == ("fiction", "刘慈欣", Stance.LIKE)
    assert 0.5 < interest.confidence < 1
    assert (found.tier, found.reader, found.tokens) == (Tier.VLLM, "vllm/penchant/p3.s1/fallback", 40)
    assert stub.headers[0]["authorization"] == "Bearer secret"
    assert stub.bodies[0]["messages"] == [{"role": "user", "content": f"{TEXT}\n刘慈欣 fiction like\nbooks"}]
    schema = stub.bodies[0]["response_format"]["json_schema"]["schema"]
    assert "fiction" in schema["items"]["properties"]["c"]["enum"]


async def test_results_stand_in_the_order_of_the_passages():
    async with client(Stub()) as extractor:
        found = await extractor.extract([Passage(str(n)) for n in range(20)])
    assert [f.text for f in found] == [str(n) for n in range(20)]


async def test_a_model_without_a_tag_is_told_the_task():
    async with client(stub := Stub(models=["penchant"])) as extractor:
        await read(extractor)
    assert [m["role"] for m in stub.bodies[0]["messages"]] == ["system", "user"]


async def test_a_model_trained_for_another_prompt_is_refused():
    async with client(Stub(models=["penchant", "penchant@p0.s1"])) as extractor:
        with pytest.raises(Overloaded, match=r"trained for prompt.schema p0.s1.*penchant train"):
            await read(extractor)


async def test_a_server_of_another_model_is_named():
    async with client(Stub(models=["llama"])) as extractor:
        with pytest.raises(Overloaded, match="it serves llama: set PENCHANT_VLLM_MODEL"):
            await read(extractor)


@pytest.mark.parametrize("shape", ["busy", "unavailable", "broken"])
async def test_a_passing_error_is_retried(shape):
    async with client(stub := Stub([shape, "ok"])) as extractor:
        found = await read(extractor)
    assert found.tier is Tier.VLLM
    assert len(stub.bodies) == 2


@pytest.mark.parametrize("shape", ["garbage", "white_space", "cut_off_early", "not_even_json"])
async def test_garbage_is_asked_again_once(shape):
    async with client(stub := Stub([shape, "ok"])) as extractor:
        found = await read(extractor)
    assert found.tier is Tier.VLLM
    assert len(stub.bodies) == 2


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ("garbage", "answer_not_json"),
        ("white_space", "answer_white_space"),
        ("cut_off_early", "answer_cut_off"),
        ("not_even_json", "answer_empty"),
    ],
)
async def test_garbage_twice_is_left_to_the_fallback(shape, reason):
    async with client(stub := Stub([shape])) as extractor:
        found = await read(extractor)
    assert (found.tier, found.reader) == (Tier.EMBEDDED, "fallback")
    assert found.dropped == ((reason, 1),)
    assert len(stub.bodies) == 2


async def test_a_refused_text_is_left_to_the_fallback_at_once():
    async with client(stub := Stub(["too_long"])) as extractor:
        found = await read(extractor)
    assert found.dropped == (("refused_400", 1),)
    assert len(stub.bodies) == 1


async def test_a_cut_off_answer_is_salvaged():
    async with client(Stub(["cut_off"])) as extractor:
        found = await read(extractor)
    assert [i.entity for i in found.interests] == ["刘慈欣"]
    assert found.dropped == (("answer_salvaged", 1),)


async def test_a_long_wait_is_the_callers():
    async with client(stub := Stub(["busy"], retry_after="17")) as extractor:
        with pytest.raises(Overloaded) as raised:
            await read(extractor)
        assert raised.value.retry_after == pytest.approx(17, abs=1)
        with pytest.raises(Overloaded, match="no vLLM server takes requests"):
            await read(extractor)
    assert len(stub.bodies) == 1


async def test_a_short_wait_is_waited_out():
    async with client(stub := Stub(["busy", "ok"], retry_after="0.6")) as extractor:
        assert (await read(extractor)).tier is Tier.VLLM
    assert len(stub.bodies) == 2


async def test_a_broken_server_rests_and_is_probed_by_one():
    async with client(stub := Stub(["broken"])) as extractor:
        with pytest.raises(Overloaded):
            await read(extractor)
        asked = len(stub.bodies)
        with pytest.raises(Overloaded, match="no vLLM server"):
            await read(extractor)
        assert len(stub.bodies) == asked == 3
        stub.shapes, stub.delay = ["ok"], 0.2
        await asyncio.sleep(2.6)
        results = await asyncio.gather(*(read(extractor) for _ in range(3)), return_exceptions=True)
        assert [isinstance(r, Overloaded) for r in results].count(True) == 2
        assert (await read(extractor)).tier is Tier.VLLM


async def test_a_batch_of_many_texts_finds_a_server_that_is_back():
    """The texts that may not probe it must not end the one that does, or it would rest for ever."""
    passages = [Passage(str(n)) for n in range(8)]
    async with client(stub := Stub(["broken"])) as extractor:
        with pytest.raises(Overloaded):
            await extractor.extract(passages)
        stub.shapes, stub.delay = ["ok"], 0.1
        await asyncio.sleep(2.6)
        with pytest.raises(Overloaded, match="no vLLM server takes requests"):
            await extractor.extract(passages)
        assert [found.tier for found in await extractor.extract(passages)] == [Tier.VLLM] * 8


async def test_a_wrong_token_is_said():
    async with client(Stub(["unauthorized"])) as extractor:
        with pytest.raises(Overloaded, match="PENCHANT_VLLM_TOKEN"):
            await read(extractor)


async def test_a_url_without_v1_is_said():
    async with client(stub := Stub()) as extractor:
        pass
    async with serving(stub):
        extractor = VllmExtractor(urls=[stub.url.removesuffix("/v1")], fallback=Fallback())
        with pytest.raises(Overloaded, match="ending in /v1"):
            await read(extractor)
        await extractor.aclose()


async def test_no_server_at_all():
    async with client(Stub()) as extractor:
        pass
    extractor = VllmExtractor(urls=["http://127.0.0.1:9/v1"], fallback=Fallback())
    with pytest.raises(Overloaded) as raised:
        await read(extractor)
    assert raised.value.retry_after > 0
    await extractor.aclose()


async def test_a_silent_server_does_not_hold_the_work():
    async with client(Stub(["silent"]), Stub(), timeout_seconds=0.3) as extractor:
        found = await extractor.extract([Passage(str(n)) for n in range(4)])
    assert {f.tier for f in found} == {Tier.VLLM}


async def test_work_goes_where_least_is_in_flight():
    slow, fast = Stub(delay=0.5), Stub(delay=0.02)
    async with client(slow, fast, concurrency=4) as extractor:
        await extractor.extract([Passage(str(n)) for n in range(40)])
    assert len(fast.bodies) > 2 * len(slow.bodies) > 0


async def test_concurrency_is_bounded():
    async with client(stub := Stub(delay=0.05), concurrency=3) as extractor:
        await extractor.extract([Passage(str(n)) for n in range(12)])
    assert stub.most_in_flight == 3


async def test_replay_yields_to_live():
    async with client(stub := Stub()) as extractor:
        await read(extractor)
        priority.set(REPLAY)
        await read(extractor)
    assert [body.get("priority") for body in stub.bodies] == [None, REPLAY]


def test_no_url_is_an_error():
    with pytest.raises(ValueError, match="at least one base URL"):
        VllmExtractor(urls=[], fallback=Fallback())
