"""Checking a sample offline."""

from streams.check import Summary, check_lines
from streams.events import TOPICS, TopicKind

CLICK = b'{"event_id":"e","user_id":"u","occurred_at":5,"action":"like","item_id":"i"}'


def findings(*lines):
    return [(f.line, f.topic, f.reason, f.field) for f in check_lines(lines)]


def test_good_lines_give_no_findings():
    future = CLICK.replace(b":5,", b':"2999-01-01T00:00:00Z",')
    assert findings(CLICK + b"\r\n", b"", b"  \n", b"\xef\xbb\xbf" + CLICK, future) == []


def test_a_finding_names_line_topic_reason_and_field():
    assert findings(
        CLICK,
        b"",
        CLICK.replace(b"like", b"stare"),
        b'{"item_id":"i","kind":"video"}',
        b'{"topic":"commands","user_id":"u"}',
    ) == [
        (3, TOPICS[TopicKind.CLICKS], "unknown_value", "action"),
        (4, TOPICS[TopicKind.ITEMS], "item_without_text", "title"),
        (5, TOPICS[TopicKind.COMMANDS], "missing_field", "event_id"),
    ]


def test_lines_that_are_no_event_at_all():
    assert findings(b"{", b"[1]", b'{"weather":"fine"}', b"[" * 9999, b'{"a":NaN}', b'"' + b"x" * 2**20 + b'"') == [
        (1, None, "invalid_json", None),
        (2, None, "not_an_object", None),
        (3, None, "missing_field", "topic"),
        (4, None, "too_deep", None),
        (5, None, "invalid_json", None),
        (6, None, "too_large", None),
    ]


def test_the_summary_counts_as_the_lines_go_by():
    summary = Summary()
    checking = check_lines([CLICK, b"{", CLICK, b"", b"nope"], summary)
    assert summary.good == summary.bad == {}
    assert len(list(checking)) == 2
    assert summary.good == {TOPICS[TopicKind.CLICKS]: 2}
    assert summary.bad == {"invalid_json": 2}
