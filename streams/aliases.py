"""Other systems' names: Segment, Snowplow and plain camelCase, CloudEvents envelopes, and which topic an event is for.

Everything here works on decoded JSON objects. Our own names always win over translated ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .events import TOPICS, Action, CommentKind, ItemKind, TopicKind

ALIASES: Mapping[str, tuple[str, ...]] = {
    "event_id": ("eventId", "messageId", "message_id"),
    "user_id": ("userId", "user", "uid", "anonymousId", "anonymous_id", "domain_userid"),
    "occurred_at": (
        "occurredAt",
        "timestamp",
        "originalTimestamp",
        "derived_tstamp",
        "collector_tstamp",
        "sentAt",
        "ts",
    ),
    "item_id": ("itemId", "productId", "product_id"),
    "session_id": ("sessionId", "domain_sessionid"),
    "dwell_ms": ("dwellMs",),
    "parent_id": ("parentId",),
    "event_ref": ("eventRef",),
    "text": ("body", "content"),
    "lang": ("language",),
}
"""Our field, and the names it is also accepted under; the first that is there and not null is taken."""

ACTION_FIELDS = ("event", "event_name", "eventName", "event_type", "eventType", "se_action", "type")
"""Where other systems name the action. Only a value that is one of ours or in ACTION_NAMES counts."""

ACTION_NAMES: Mapping[str, Action] = {
    "page_view": Action.VIEW,
    "product_viewed": Action.VIEW,
    "view_item": Action.VIEW,
    "product_clicked": Action.CLICK,
    "select_item": Action.CLICK,
    "product_shared": Action.SHARE,
    "product_added_to_wishlist": Action.SAVE,
    "add_to_wishlist": Action.SAVE,
    "product_added": Action.CART,
    "add_to_cart": Action.CART,
    "order_completed": Action.PURCHASE,
    "order_refunded": Action.RETURN,
    "refund": Action.RETURN,
    "video_content_completed": Action.COMPLETE,
    "video_playback_completed": Action.COMPLETE,
} | {action.value: action for action in Action}
"""Event names of Segment's and Google's commerce events and of Snowplow, in snake_case."""

_IDS = ("event_id", "user_id", "item_id", "session_id", "parent_id", "event_ref")
_ENVELOPE = (("id", "event_id"), ("time", "occurred_at"))
_ONLY_ITEMS = tuple(kind for kind in ItemKind if kind.value not in tuple(CommentKind))


def normalise(body: Mapping[str, Any], headers: Sequence[tuple[str, bytes]] = ()) -> dict[str, Any]:
    """The event under our own names: CloudEvents unpacked, aliases translated, numeric ids as text, nulls left out."""
    envelope: dict[str, Any] = {
        name.removeprefix("ce_"): (value or b"").decode("utf-8", "replace")
        for name, value in headers
        if name.startswith("ce_")
    }
    if "specversion" in body and isinstance(body.get("data"), dict):
        envelope |= body
        body = body["data"]
    event = {name: value for name, value in body.items() if value is not None}
    properties = event.get("properties")
    if isinstance(properties, dict):
        event = {name: value for name, value in properties.items() if value is not None} | event
    _translate(event)
    if isinstance(properties, dict) and "item_id" in event:
        _name_item(event, properties)
    for attribute, ours in _ENVELOPE:
        if envelope.get(attribute):
            event.setdefault(ours, envelope[attribute])
    for name in _IDS:
        if type(event.get(name)) is int:
            event[name] = str(event[name])
    return event


def _translate(event: dict[str, Any]) -> None:
    for ours, names in ALIASES.items():
        if ours not in event:
            theirs = next((name for name in names if name in event), None)
            if theirs is not None:
                event[ours] = event[theirs]
    if "action" not in event:
        named = (ACTION_NAMES.get(_snake(event.get(field))) for field in ACTION_FIELDS)
        action = next((action for action in named if action is not None), None)
        if action is not None:
            event["action"] = action.value


def _name_item(event: dict[str, Any], properties: Mapping[str, Any]) -> None:
    """Segment's product events carry the name of the product: then the click brings its item along."""
    if isinstance(properties.get("name"), str):
        event.setdefault("item", {"title": properties["name"], "category": properties.get("category")})


def _snake(name: object) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_") if isinstance(name, str) else ""


def kind_of(body: Mapping[str, Any]) -> TopicKind | None:
    """Which topic an event is for, by its ``topic`` field or else by its shape; None where neither tells."""
    for topic_kind, topic in TOPICS.items():
        if body.get("topic") in (topic_kind.value, topic):
            return topic_kind
    event = normalise(body)
    kind, has_user, has_text = event.get("kind"), "user_id" in event, "text" in event
    shapes = (
        (TopicKind.COMMANDS, "command" in event),
        (TopicKind.COMMENTS, has_user and has_text and kind in tuple(CommentKind)),
        (TopicKind.CLICKS, "action" in event),
        (TopicKind.ITEMS, kind in _ONLY_ITEMS),
        (TopicKind.COMMENTS, has_user and (has_text or "kind" in event)),
        (TopicKind.CLICKS, has_user),
        (TopicKind.ITEMS, "title" in event or "item_id" in event),
        (TopicKind.COMMENTS, has_text),
    )
    return next((topic_kind for topic_kind, fits in shapes if fits), None)
