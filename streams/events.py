"""The events: what producers publish and what Penchant publishes. Contracts in deploy/contracts are made from these.

Instants of decoded events are integer microseconds since the Unix epoch; on the wire they are RFC 3339 or epoch
milliseconds.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from .instants import Instant

MAX_ID_CHARACTERS = 512

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARACTERS)]
EventId = Annotated[Id, Meta(description="unique for each event; a repeated one is recognised as a duplicate")]
UserId = Annotated[Id, Meta(description="whose profile this changes; also the key of the Kafka record")]
ItemId = Annotated[Id, Meta(description="the item, as in the items topic")]
OccurredAt = Annotated[Instant, Meta(description="when it happened: RFC 3339 with an offset, or epoch milliseconds")]
Milliseconds = Annotated[float, Meta(ge=0, description="how long the item was looked at; 30,000 count in full")]
SessionId = Annotated[str, Meta(description="the visit it belongs to; kept for your own tools")]
ParentId = Annotated[str, Meta(description="the comment it answers; kept for your own tools")]
Context = Annotated[dict[str, Any], Meta(description="anything else; ignored here")]
CommentText = Annotated[str, Meta(description="what the user wrote, as written, in any language")]
Title = Annotated[str, Meta(description="the name of the item")]
ItemText = Annotated[str, Meta(description="what the item says, or a description of it")]
Category = Annotated[str, Meta(description="your own category, as text")]
Tags = Annotated[tuple[str, ...], Meta(description="your own tags, as text")]
Lang = Annotated[str, Meta(description="BCP 47 tag such as en or zh-Hans; a hint")]
Interest = Annotated[Id, Meta(description="the interest as the profile names it, such as science-fiction")]
EventRef = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ID_CHARACTERS + len("item:"),
        description="what to take back: an event id, or item:ID for all about one item",
    ),
]
InForceFrom = Annotated[Instant, Meta(description="from when this text is in force; default: its Kafka time")]


class TopicKind(StrEnum):
    """The four topics that producers publish to."""

    CLICKS = "clicks"
    COMMENTS = "comments"
    ITEMS = "items"
    COMMANDS = "commands"


TOPICS: Mapping[TopicKind, str] = {kind: f"penchant.{kind}.v1" for kind in TopicKind}
DEAD_LETTERS_TOPIC = "penchant.dead-letters.v1"
PROFILE_UPDATES_TOPIC = "penchant.profile-updates.v1"


class Action(StrEnum):
    """What a user did to an item. profiles/policy.py weighs them."""

    VIEW = "view"
    CLICK = "click"
    DWELL = "dwell"
    LIKE = "like"
    SHARE = "share"
    SAVE = "save"
    CART = "cart"
    PURCHASE = "purchase"
    SUBSCRIBE = "subscribe"
    COMPLETE = "complete"
    DISLIKE = "dislike"
    HIDE = "hide"
    RETURN = "return"

    __hash__ = str.__hash__  # Enum's own is a call of Python, for every look into a dictionary


class CommentKind(StrEnum):
    """What sort of text a user wrote."""

    COMMENT = "comment"
    REVIEW = "review"
    POST = "post"
    QUESTION = "question"
    ANSWER = "answer"
    SEARCH = "search"
    MESSAGE = "message"


class ItemKind(StrEnum):
    """What sort of thing an item is."""

    PRODUCT = "product"
    ARTICLE = "article"
    VIDEO = "video"
    POST = "post"
    COURSE = "course"
    PAPER = "paper"
    NEWS = "news"


class CommandKind(StrEnum):
    """What a user can rule about their own profile."""

    FORGET = "forget"
    RETRACT = "retract"
    MUTE = "mute"
    UNMUTE = "unmute"
    PIN = "pin"
    UNPIN = "unpin"


class Reason(StrEnum):
    """Why an event was rejected: the closed list of the dead-letter topic."""

    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_VALUE = "unknown_value"
    BAD_ID = "bad_id"
    BAD_TIME = "bad_time"
    BAD_NUMBER = "bad_number"
    ITEM_WITHOUT_TEXT = "item_without_text"
    UNKNOWN_ITEM = "unknown_item"
    POISON = "poison"


class InlineItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item as a click carries it, for producers without an items topic."""

    title: Title | None = None
    category: Category | None = None
    tags: Tags | None = None
    text: ItemText | None = None


class Click(msgspec.Struct, frozen=True, kw_only=True):
    """A user did something to an item. ``item_id``, ``item`` or both say which."""

    event_id: EventId
    user_id: UserId
    occurred_at: OccurredAt
    action: Action
    item_id: ItemId | None = None
    item: InlineItem | None = None
    dwell_ms: Milliseconds | None = None
    session_id: SessionId | None = None
    context: Context | None = None


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """A user wrote something. A search is a text of its user like any other."""

    event_id: EventId
    user_id: UserId
    occurred_at: OccurredAt
    kind: CommentKind
    text: CommentText
    item_id: ItemId | None = None
    parent_id: ParentId | None = None
    lang: Lang | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A thing that can be clicked on. A later version of it does not rewrite what earlier clicks said."""

    item_id: ItemId
    kind: ItemKind
    title: Title | None = None
    text: ItemText | None = None
    category: Category | None = None
    tags: Tags | None = None
    lang: Lang | None = None
    occurred_at: InForceFrom | None = None


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """An item that was deleted: a record of its key without a value."""

    item_id: str


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A user rules about their own profile.

    ``interest`` for mute, unmute, pin and unpin; ``event_ref`` (an event id, or ``item:ID``) for retract.
    """

    event_id: EventId
    user_id: UserId
    occurred_at: OccurredAt
    command: CommandKind
    interest: Interest | None = None
    event_ref: EventRef | None = None


Event = Click | Comment | Item | Tombstone | Command


class Rejected(msgspec.Struct, frozen=True):
    """An event that cannot count, and what its producer has to change."""

    reason: Reason
    detail: str
    field: str | None = None


Base64 = Annotated[str, Meta(extra_json_schema={"contentEncoding": "base64"})]
Rfc3339 = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A rejected event with its origin. ``key``, ``value`` and ``headers`` are the original bytes in base64."""

    reason: Reason
    detail: Annotated[str, Meta(description="what the producer has to change")]
    field: Annotated[str, Meta(description="the field it is about")] | None = None
    topic: Annotated[str, Meta(description="where the record was read")]
    partition: Annotated[int, Meta(description="its partition")]
    offset: Annotated[int, Meta(description="its offset")]
    timestamp_ms: Annotated[int, Meta(description="its Kafka timestamp, epoch milliseconds")]
    key: Annotated[Base64, Meta(description="its key, base64")] | None
    value: Annotated[Base64, Meta(description="its value, base64; empty for none")]
    headers: Annotated[dict[str, Base64], Meta(description="its headers, values in base64")]
    rejected_at: Annotated[Rfc3339, Meta(description="when the worker rejected it")]


class Change(msgspec.Struct, frozen=True):
    """One interest's new weight, at the ``at`` of its update."""

    interest: Annotated[str, Meta(description="the interest as the profile names it")]
    stance: Annotated[str, Meta(extra_json_schema={"enum": ["like", "dislike"]})]
    horizon: Annotated[str, Meta(description="the time scale, such as now or lasting")]
    weight: Annotated[float, Meta(description="1 is one fresh click; it halves each half-life of the horizon; 0: gone")]


class ProfileUpdated(msgspec.Struct, frozen=True, kw_only=True):
    """What one batch changed in one profile, or all that a profile says after a replay or a command.

    ``at`` is the newest event time in it, RFC 3339.
    """

    user_id: Annotated[str, Meta(description="whose profile changed")]
    at: Annotated[Rfc3339, Meta(description="the moment for which the weights are given")]
    events: Annotated[
        int, Meta(description="how many events were applied; 0: changes say all there is, the rest is gone")
    ]
    changes: list[Change]
