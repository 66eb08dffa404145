"""The contract files: up to date, valid, and saying the same as the decoder."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from profiles.policy import ACTIONS
from streams import contracts
from streams.aliases import ALIASES
from streams.check import check_lines
from streams.contract_pages import asyncapi, page
from streams.decoding import Decoder
from streams.events import TOPICS, Action, Reason, Rejected, TopicKind
from streams.examples import EXAMPLES
from streams.instants import to_instant
from streams.outbox import rfc3339
from streams.schemas import CONTRACTS, json_schema
from streams.topics import topic_names

FOLDER = Path(__file__).parents[2] / "deploy" / "contracts"
FORMATS = FormatChecker(formats=[])


@FORMATS.checks("date-time")
def _has_an_offset(text):
    return not isinstance(text, str) or text.endswith(("Z", "+00:00", "+08:00"))


VALIDATORS = {c.topic: Draft202012Validator(json_schema(c), format_checker=FORMATS) for c in CONTRACTS}
DECODERS = {TOPICS[kind]: Decoder(kind, max_future_skew_us=10**18, max_value_bytes=2**20) for kind in TopicKind}


def test_the_committed_files_are_what_the_code_says():
    assert contracts.drift(FOLDER) == [], "run 'penchant schema'"


def test_drift_names_what_is_missing_or_changed(tmp_path):
    contracts.write(tmp_path)
    assert contracts.drift(tmp_path) == []
    (tmp_path / "asyncapi.json").unlink()
    (tmp_path / "events.md").write_text("other")
    assert contracts.drift(tmp_path) == ["asyncapi.json", "events.md"]


def test_there_is_a_contract_for_every_topic():
    assert {c.topic for c in CONTRACTS} == set(topic_names().values()) == set(EXAMPLES)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda c: c.topic)
def test_schemas_are_valid_and_take_their_examples(contract):
    Draft202012Validator.check_schema(json_schema(contract))
    for example in EXAMPLES[contract.topic]:
        VALIDATORS[contract.topic].validate(example)
        assert msgspec.convert(example, contract.message, dec_hook=lambda _, value: to_instant(value))


def test_the_examples_are_good_events():
    assert list(check_lines((FOLDER / "examples.jsonl").read_bytes().splitlines())) == []


def test_every_reference_of_the_asyncapi_document_leads_somewhere():
    document = asyncapi()

    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                target = document
                for step in node["$ref"].removeprefix("#/").split("/"):
                    target = target[step]
            for part in node.values():
                walk(part)
        elif isinstance(node, list):
            for part in node:
                walk(part)

    walk(document)
    assert {channel["address"] for channel in document["channels"].values()} == {c.topic for c in CONTRACTS}


def test_the_page_names_every_reason_and_every_other_name():
    text = page()
    for name in (*Reason, *ALIASES, *(name for names in ALIASES.values() for name in names)):
        assert f"`{name}`" in text


def test_every_action_has_a_weight():
    assert set(ACTIONS) == {action.value for action in Action}


def test_outgoing_times_are_rfc_3339():
    assert rfc3339(1_795_521_600_000_000) == EXAMPLES["penchant.profile-updates.v1"][0]["at"]


TIMES = st.sampled_from(
    [0, 10**9, 10**10 - 1, 10**10, 10**14 - 1, 10**14, -1, 1.5e12, "2026-11-24T12:00:00Z", "2026-11-24T12:00:00", True]
)
WORDS = st.sampled_from(["", "a", "a\0b", "x" * 512, "x" * 513, "{é}\n", None, True, 1.5, []])
VALUES = {
    "event_id": WORDS,
    "user_id": WORDS,
    "item_id": WORDS,
    "interest": WORDS,
    "event_ref": WORDS,
    "title": WORDS,
    "text": WORDS,
    "category": WORDS,
    "lang": WORDS,
    "session_id": WORDS,
    "occurred_at": TIMES,
    "action": st.sampled_from(["like", "stare", None]),
    "kind": st.sampled_from(["post", "video", "search", 1]),
    "command": st.sampled_from(["forget", "mute", "retract", "x"]),
    "tags": st.sampled_from([[], ["a"], [1], "a", None]),
    "dwell_ms": st.sampled_from([0, 1.5, -1, "1", None]),
    "context": st.sampled_from([{}, {"a": [1]}, [], None]),
    "item": st.fixed_dictionaries(
        {}, optional={"title": WORDS, "tags": st.sampled_from([[], ["a"], None]), "text": WORDS}
    ),
}


@pytest.mark.parametrize("topic", DECODERS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_schema_and_decoder_agree(topic, data):
    """Values that differ by a few fields from a good one: the schema takes those that the decoder takes."""
    event = dict(data.draw(st.sampled_from(EXAMPLES[topic])))
    for name in data.draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=3)):
        event[name] = data.draw(VALUES[name])
    for name in data.draw(st.lists(st.sampled_from(sorted(event)), max_size=1)):
        del event[name]
    decoded = DECODERS[topic].decode(json.dumps(event).encode(), (), 0, None)
    problems = [error.message for error in VALIDATORS[topic].iter_errors(event)]
    assert isinstance(decoded, Rejected) == bool(problems), (event, decoded, problems)
