"""One good event of every sort: shown in the contracts, and held against schema and decoder by the tests."""

from collections.abc import Mapping, Sequence
from typing import Any

from .events import DEAD_LETTERS_TOPIC, PROFILE_UPDATES_TOPIC, TOPICS, TopicKind

_NOON = "2026-11-24T12:00:00Z"

EXAMPLES: Mapping[str, Sequence[dict[str, Any]]] = {
    TOPICS[TopicKind.CLICKS]: (
        {"event_id": "c-1", "user_id": "u-7", "occurred_at": _NOON, "action": "like", "item_id": "book-9"},
        {
            "event_id": "c-2",
            "user_id": "u-7",
            "occurred_at": 1795521600000,
            "action": "dwell",
            "dwell_ms": 21500,
            "session_id": "s-1",
            "item": {"title": "How to fold a paper crane", "category": "Crafts", "tags": ["origami"]},
        },
    ),
    TOPICS[TopicKind.COMMENTS]: (
        {
            "event_id": "t-1",
            "user_id": "u-7",
            "occurred_at": "2026-11-24T20:00:00+08:00",
            "kind": "review",
            "text": "刘慈欣的想象力真是惊人，一口气读完了。",
            "item_id": "book-9",
            "lang": "zh-Hans",
        },
        {
            "event_id": "t-2",
            "user_id": "u-8",
            "occurred_at": _NOON,
            "kind": "search",
            "text": "quiet mechanical keyboard",
        },
    ),
    TOPICS[TopicKind.ITEMS]: (
        {"item_id": "book-9", "kind": "product", "title": "三体", "category": "图书", "tags": ["科幻小说", "刘慈欣"]},
        {"item_id": "talk-3", "kind": "video", "text": "A short talk on growing tomatoes on a balcony.", "lang": "en"},
    ),
    TOPICS[TopicKind.COMMANDS]: (
        {"event_id": "k-1", "user_id": "u-7", "occurred_at": _NOON, "command": "mute", "interest": "horror-movies"},
        {"event_id": "k-2", "user_id": "u-7", "occurred_at": _NOON, "command": "retract", "event_ref": "item:book-9"},
        {"event_id": "k-3", "user_id": "u-8", "occurred_at": _NOON, "command": "forget"},
    ),
    DEAD_LETTERS_TOPIC: (
        {
            "reason": "bad_time",
            "detail": "1795521600 looks like epoch seconds: multiply by 1000",
            "field": "occurred_at",
            "topic": TOPICS[TopicKind.CLICKS],
            "partition": 3,
            "offset": 41,
            "timestamp_ms": 1795521600123,
            "key": "dS03",
            "value": "eyJvY2N1cnJlZF9hdCI6MTc5NTUyMTYwMH0=",
            "headers": {"ce_source": "L3Nob3A="},
            "rejected_at": "2026-11-24T12:00:00.400000+00:00",
        },
    ),
    PROFILE_UPDATES_TOPIC: (
        {
            "user_id": "u-7",
            "at": "2026-11-24T12:00:00+00:00",
            "events": 2,
            "changes": [{"interest": "science-fiction", "stance": "like", "horizon": "now", "weight": 3.5}],
        },
        {
            "user_id": "u-7",
            "at": "2026-11-24T12:00:00+00:00",
            "events": 0,
            "changes": [
                {"interest": "science-fiction", "stance": "like", "horizon": "now", "weight": 3.1},
                {"interest": "horror", "stance": "dislike", "horizon": "lasting", "weight": 0.0},
            ],
        },
    ),
}
"""By topic."""
