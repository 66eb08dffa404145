"""Decoding: what is accepted as which event, and which reason everything else gets."""

import json

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.decoding import Decoder, kind_of
from streams.events import (
    Action,
    Click,
    Command,
    Comment,
    CommentKind,
    InlineItem,
    Item,
    Reason,
    Rejected,
    Tombstone,
    TopicKind,
)

APPENDED_MS = 1_795_000_000_000
MINUTE_US = 60_000_000
CLICK = {"event_id": "e", "user_id": "u", "occurred_at": APPENDED_MS, "action": "like", "item_id": "i"}
COMMENT = {"event_id": "e", "user_id": "u", "occurred_at": APPENDED_MS, "kind": "review", "text": "good"}
ITEM = {"item_id": "i", "kind": "product", "title": "A thing"}
COMMAND = {"event_id": "e", "user_id": "u", "occurred_at": APPENDED_MS, "command": "forget"}


def decoder(kind=TopicKind.CLICKS):
    return Decoder(kind, max_future_skew_us=5 * MINUTE_US, max_value_bytes=2**20)


def decode(value, kind=TopicKind.CLICKS, headers=(), key=b"u"):
    raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return decoder(kind).decode(raw, headers, APPENDED_MS, key)


def test_a_click_with_everything():
    value = CLICK | {
        "occurred_at": "2026-01-01T08:00:00.000001+08:00",
        "action": "dwell",
        "item": {"title": "三体", "tags": ["科幻"]},
        "dwell_ms": 12,
        "session_id": "s",
        "context": {"page": {"deep": [1, None, 1.5]}},
        "unknown": True,
    }
    assert decode(value) == Click(
        event_id="e",
        user_id="u",
        occurred_at=1_767_225_600_000_001,
        action=Action.DWELL,
        item_id="i",
        item=InlineItem(title="三体", tags=("科幻",)),
        dwell_ms=12.0,
        session_id="s",
        context={"page": {"deep": [1, None, 1.5]}},
    )


@pytest.mark.parametrize(
    ("given_time", "microseconds"),
    [
        (1_700_000_000_123, 1_700_000_000_123_000),
        (1_700_000_000_123.0, 1_700_000_000_123_000),
        ("1700000000123", 1_700_000_000_123_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000),
        ("2023-11-14t22:13:20.000001z", 1_700_000_000_000_001),
        ("2023-11-15T06:13:20.123456789+08:00", 1_700_000_000_123_456),
        ("1970-01-01T00:00:00Z", 0),
        (0, 0),
    ],
)
def test_times(given_time, microseconds):
    assert decode(CLICK | {"occurred_at": given_time}).occurred_at == microseconds


@pytest.mark.parametrize(
    ("given_time", "hint"),
    [
        (1_700_000_000, "multiply by 1000"),
        (1_700_000_000.25, "multiply by 1000"),
        (1_700_000_000_000_000, "microseconds"),
        (-1, "negative"),
        ("2023-11-14T22:13:20", "no offset"),
        ("20231114", "offset"),
        ("1969-12-31T23:59:59Z", "1970"),
        ("5138-11-16T09:46:40Z", "5138"),
        ("9999-12-31T23:59:59-08:00", "5138"),
        ("yesterday", "RFC 3339"),
        ("²", "RFC 3339"),
        ("9" * 9000, "RFC 3339"),
        ("2023-02-30T00:00:00Z", "RFC 3339"),
        (True, "RFC 3339"),
        ([], "RFC 3339"),
    ],
)
def test_bad_times_say_what_to_send(given_time, hint):
    rejected = decode(CLICK | {"occurred_at": given_time})
    assert (rejected.reason, rejected.field) == (Reason.BAD_TIME, "occurred_at")
    assert hint in rejected.detail


def test_the_future_beyond_the_skew_becomes_the_kafka_time_and_is_counted():
    subject = decoder()
    for at, expected in (
        (APPENDED_MS + 300_000, (APPENDED_MS + 300_000) * 1000),
        (APPENDED_MS + 300_001, APPENDED_MS * 1000),
        ("2100-01-01T00:00:00Z", APPENDED_MS * 1000),
    ):
        event = subject.decode(json.dumps(CLICK | {"occurred_at": at}).encode(), (), APPENDED_MS, None)
        assert event.occurred_at == expected
    assert subject.clamped == 2


def test_an_item_without_a_time_is_of_its_kafka_time():
    subject = decoder(TopicKind.ITEMS)
    assert subject.decode(json.dumps(ITEM).encode(), (), APPENDED_MS, None).occurred_at == APPENDED_MS * 1000
    assert subject.clamped == 0


@pytest.mark.parametrize("identifier", ["a{b}c", "line\nbreak", "🦊", " ", "x" * 512, "界" * 512])
def test_ids_hold_what_they_like(identifier):
    event = decode(CLICK | {"user_id": identifier, "event_id": identifier, "item_id": identifier})
    assert (event.user_id, event.event_id, event.item_id) == (identifier, identifier, identifier)


@pytest.mark.parametrize("field", ["event_id", "user_id", "item_id"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", Reason.BAD_ID),
        ("x" * 513, Reason.BAD_ID),
        ("a\0b", Reason.BAD_ID),
        (1.5, Reason.WRONG_TYPE),
        ([], Reason.WRONG_TYPE),
    ],
)
def test_bad_ids(field, value, reason):
    rejected = decode(CLICK | {field: value})
    assert (rejected.reason, rejected.field) == (reason, field)


@pytest.mark.parametrize(
    ("kind", "value", "reason", "field"),
    [
        (TopicKind.CLICKS, b"", Reason.INVALID_JSON, None),
        (TopicKind.CLICKS, b'{"a":', Reason.INVALID_JSON, None),
        (TopicKind.CLICKS, b'{"user_id":"\xff"}', Reason.INVALID_JSON, None),
        (TopicKind.CLICKS, b'{"user_id":"\\ud800"}', Reason.INVALID_JSON, None),
        (TopicKind.CLICKS, b'{"user_id":"a\0b"}', Reason.INVALID_JSON, None),
        (TopicKind.CLICKS, b"\0\0\0\0\1{}", Reason.INVALID_JSON, None),
        (TopicKind.CLICKS, b"[]", Reason.NOT_AN_OBJECT, None),
        (TopicKind.CLICKS, b"null", Reason.NOT_AN_OBJECT, None),
        (TopicKind.CLICKS, None, Reason.NOT_AN_OBJECT, None),
        (TopicKind.CLICKS, b'{"a":"' + b"x" * 10_000_000 + b'"}', Reason.TOO_LARGE, None),
        (TopicKind.CLICKS, b'{"context":' + b"[" * 100_000 + b"]" * 100_000 + b"}", Reason.TOO_DEEP, None),
        (TopicKind.CLICKS, b'{"a":' * 20_000 + b"1" + b"}" * 20_000, Reason.TOO_DEEP, None),
        (TopicKind.CLICKS, {}, Reason.MISSING_FIELD, "event_id"),
        (TopicKind.CLICKS, CLICK | {"user_id": None}, Reason.MISSING_FIELD, "user_id"),
        (TopicKind.CLICKS, CLICK | {"item_id": None}, Reason.MISSING_FIELD, "item_id"),
        (TopicKind.CLICKS, CLICK | {"item_id": None, "item": {}}, Reason.ITEM_WITHOUT_TEXT, "item"),
        (TopicKind.CLICKS, CLICK | {"action": "stare"}, Reason.UNKNOWN_VALUE, "action"),
        (TopicKind.CLICKS, CLICK | {"action": 5}, Reason.WRONG_TYPE, "action"),
        (TopicKind.CLICKS, CLICK | {"item": {"tags": "a"}}, Reason.WRONG_TYPE, "item.tags"),
        (TopicKind.CLICKS, CLICK | {"dwell_ms": True}, Reason.WRONG_TYPE, "dwell_ms"),
        (TopicKind.CLICKS, CLICK | {"dwell_ms": -1}, Reason.BAD_NUMBER, "dwell_ms"),
        (TopicKind.CLICKS, CLICK | {"dwell_ms": float("nan")}, Reason.INVALID_JSON, None),
        (TopicKind.CLICKS, CLICK | {"dwell_ms": float("-inf")}, Reason.INVALID_JSON, None),
        (TopicKind.CLICKS, json.dumps(CLICK)[:-1].encode() + b',"dwell_ms":1e999}', Reason.BAD_NUMBER, "dwell_ms"),
        (TopicKind.COMMENTS, COMMENT | {"text": None}, Reason.MISSING_FIELD, "text"),
        (TopicKind.COMMENTS, COMMENT | {"kind": "shout"}, Reason.UNKNOWN_VALUE, "kind"),
        (TopicKind.ITEMS, {"item_id": "i", "kind": "product"}, Reason.ITEM_WITHOUT_TEXT, "title"),
        (TopicKind.ITEMS, ITEM | {"title": ""}, Reason.ITEM_WITHOUT_TEXT, "title"),
        (TopicKind.ITEMS, ITEM | {"item_id": "\0"}, Reason.BAD_ID, "item_id"),
        (TopicKind.COMMANDS, COMMAND | {"command": "mute"}, Reason.MISSING_FIELD, "interest"),
        (TopicKind.COMMANDS, COMMAND | {"command": "retract"}, Reason.MISSING_FIELD, "event_ref"),
        (TopicKind.COMMANDS, COMMAND | {"command": "pin", "interest": "a\0"}, Reason.BAD_ID, "interest"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_each_fault_has_its_reason(kind, value, reason, field):
    rejected = decode(value, kind)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.field) == (reason, field)
    assert rejected.detail


def test_an_unknown_value_is_told_the_known_ones():
    assert "view, click" in decode(CLICK | {"action": "stare"}).detail


def test_a_long_comment_is_taken_as_it_is():
    text = "很长。" * 16_667
    assert decode(COMMENT | {"text": text}, TopicKind.COMMENTS).text == text


def test_a_record_without_a_value_deletes_its_item():
    assert decode(None, TopicKind.ITEMS, key="书".encode()) == Tombstone(item_id="书")
    assert decode(None, TopicKind.ITEMS, key=None).reason is Reason.BAD_ID


@pytest.mark.parametrize("required_are_ours", [True, False])
def test_other_names_count_wherever_they_stand(required_are_ours):
    required = (
        {"event_id": "e", "user_id": "u", "occurred_at": 5, "action": "dwell"}
        if required_are_ours
        else {"messageId": "e", "userId": "u", "timestamp": 5, "event": "Dwell"}
    )
    click = decode(required | {"productId": 7, "dwellMs": 3, "sessionId": "s"})
    assert (click.event_id, click.user_id, click.occurred_at) == ("e", "u", 5000)
    assert (click.action, click.item_id, click.dwell_ms, click.session_id) == (Action.DWELL, "7", 3.0, "s")


def test_our_own_name_wins():
    assert decode(CLICK | {"itemId": "other"}).item_id == "i"


def test_a_segment_track_call():
    click = decode(
        {
            "type": "track",
            "event": "Product Added",
            "userId": None,
            "anonymousId": "a",
            "messageId": "m",
            "timestamp": "2026-01-01T00:00:00Z",
            "properties": {"product_id": "507", "name": "Board game", "category": "Games", "price": 18.99},
        }
    )
    assert (click.user_id, click.event_id, click.action, click.item_id) == ("a", "m", Action.CART, "507")
    assert click.item == InlineItem(title="Board game", category="Games")


def test_cloudevents_headers_fill_what_the_body_lacks():
    headers = [("ce_id", b"h"), ("ce_time", b"2026-01-01T00:00:00Z"), ("other", None)]
    body = {"user_id": "u", "action": "like", "item_id": "i"}
    click = decode(body, headers=headers)
    assert (click.event_id, click.occurred_at) == ("h", 1_767_225_600_000_000)
    assert decode(body | {"event_id": "b"}, headers=headers).event_id == "b"


@pytest.mark.parametrize("item", [ITEM, ITEM | {"more": 1}])
def test_an_item_without_a_time_has_that_of_its_cloudevents_header(item):
    def at(time, value=item):
        return decode(value, TopicKind.ITEMS, headers=[("ce_time", time)])

    assert at(b"2026-01-01T00:00:00Z").occurred_at == 1_767_225_600_000_000
    assert at(b"2026-01-01T00:00:00Z", item | {"occurred_at": 5}).occurred_at == 5000
    assert at(b"2100-01-01T00:00:00Z").occurred_at == at(b"").occurred_at == APPENDED_MS * 1000
    assert at(b"yesterday").reason is Reason.BAD_TIME


def test_optional_fields_in_properties_count_where_the_required_ones_are_ours():
    assert decode(CLICK | {"action": "dwell", "properties": {"dwell_ms": 30_000}}).dwell_ms == 30_000
    assert decode(COMMENT | {"properties": {"item_id": "i"}}, TopicKind.COMMENTS).item_id == "i"


def test_a_structured_cloudevent_is_unpacked():
    envelope = {"specversion": "1.0", "id": "c", "source": "/shop", "type": "x", "time": "2026-01-01T00:00:00Z"}
    comment = decode(envelope | {"data": {"user_id": 7, "kind": "post", "text": "hi"}}, TopicKind.COMMENTS)
    assert comment == Comment(
        event_id="c", user_id="7", occurred_at=1_767_225_600_000_000, kind=CommentKind.POST, text="hi"
    )


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (CLICK, TopicKind.CLICKS),
        (COMMENT, TopicKind.COMMENTS),
        (ITEM, TopicKind.ITEMS),
        (COMMAND, TopicKind.COMMANDS),
        ({"topic": "items"}, TopicKind.ITEMS),
        ({"topic": "penchant.comments.v1", "action": "like"}, TopicKind.COMMENTS),
        ({"userId": "u", "event": "Product Viewed"}, TopicKind.CLICKS),
        ({"user_id": "u", "text": "t"}, TopicKind.COMMENTS),
        ({"user_id": "u", "kind": "post", "text": "t", "type": "share"}, TopicKind.COMMENTS),
        ({"item_id": "i", "kind": "video", "title": "t", "user": "its author"}, TopicKind.ITEMS),
        ({"item_id": "i", "kind": "post", "text": "t"}, TopicKind.ITEMS),
        ({"kind": ["x"], "topic": ["y"]}, None),
        ({"user": {"id": 1}}, TopicKind.CLICKS),
        ({"weather": "fine"}, None),
    ],
)
def test_the_topic_is_told_by_name_or_shape(event, kind):
    assert kind_of(event) is kind


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
)
NEAR = st.sampled_from(
    [*CLICK, *COMMENT, *ITEM, *COMMAND, "item", "dwell_ms", "userId", "properties", "data", "specversion", "type"]
)
HEADERS = st.lists(st.tuples(st.sampled_from(["ce_id", "ce_time", "x"]), st.none() | st.binary()), max_size=3)
EVENTS = (Click, Comment, Item, Command, Rejected)


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(TopicKind), value=st.binary(), headers=HEADERS)
@example(kind=TopicKind.CLICKS, value=b"\xef\xbb\xbf{}", headers=[])
def test_no_bytes_raise(kind, value, headers):
    assert isinstance(decode(value, kind, headers), EVENTS)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(TopicKind),
    base=st.sampled_from([{}, CLICK, COMMENT, ITEM, COMMAND]),
    changes=st.dictionaries(NEAR, JSON, max_size=3),
    headers=HEADERS,
)
def test_no_json_raises(kind, base, changes, headers):
    decoded = decode(json.dumps(base | changes).encode("utf-8", "replace"), kind, headers)
    assert isinstance(decoded, EVENTS)
    if not isinstance(decoded, Rejected):
        assert decoded.occurred_at >= 0


@given(
    st.dictionaries(
        st.sampled_from([*CLICK, "dwell_ms", "item", "itemId", "more"]),
        st.sampled_from(
            [
                "e",
                "like",
                "i\0",
                "",
                5,
                12.5,
                None,
                True,
                APPENDED_MS,
                str(APPENDED_MS),
                "2026-11-24T12:00:00Z",
                {"title": "t"},
            ]
        ),
    )
)
def test_the_quick_way_ends_where_the_long_one_does(changes):
    value = json.dumps(CLICK | changes).encode()
    quick, long = decoder(), decoder()
    long._decode_quickly = int  # which no object is
    ended, expected = (d.decode(value, (), APPENDED_MS, None) for d in (quick, long))
    assert isinstance(ended, Rejected) == isinstance(expected, Rejected)
    if isinstance(expected, Rejected):
        assert ended == expected
    else:
        assert msgspec.structs.asdict(ended) == msgspec.structs.asdict(expected)
