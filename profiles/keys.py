"""Every Redis key of Penchant, format version 1. Nothing else spells a key."""

from collections.abc import Iterable

FORMAT = 1
PREFIX = f"pen:{FORMAT}"

_ESCAPES = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})
_UNESCAPES = (("%7B", "{"), ("%7D", "}"), ("%25", "%"))


def escape(identifier: str) -> str:
    """An id as it stands in a key: braces would move the hash slot, so they are percent-encoded."""
    if "{" in identifier or "}" in identifier or "%" in identifier:
        return identifier.translate(_ESCAPES)
    return identifier


def unescape(identifier: str) -> str:
    """The id that :func:`escape` was given."""
    for escaped, plain in _UNESCAPES:
        identifier = identifier.replace(escaped, plain)
    return identifier


def shadow(namespace: str = PREFIX) -> str:
    """The namespace of profiles that a replay is rebuilding beside the live ones."""
    return f"{namespace}:shadow"


def before(namespace: str = PREFIX) -> str:
    """The namespace of the profiles that were live before a switch."""
    return f"{namespace}:before"


def profile(user: str, namespace: str = PREFIX) -> str:
    """The stem of all keys of one user; the braces put them into one hash slot."""
    return f"{namespace}:{{{escape(user)}}}"


def user_of(key: str) -> str:
    """The user that a profile key belongs to."""
    return unescape(key[key.index("{") + 1 : key.index("}")])


def interests(user: str, stance: str, horizon: str, namespace: str = PREFIX) -> str:
    """ZSET interest -> effective time, in microseconds."""
    return f"{profile(user, namespace)}:{stance}:{horizon}"


def meta(user: str, namespace: str = PREFIX) -> str:
    """HASH of positions applied, events in the hour of each log, newest event time and counts."""
    return f"{profile(user, namespace)}:meta"


def every_meta(namespace: str = PREFIX) -> str:
    """The pattern that ``meta`` keys of all users match, and no other key."""
    return f"{namespace}:{{*}}:meta"


def why(user: str, namespace: str = PREFIX) -> str:
    """HASH interest -> evidence, one JSON object a line, newest first."""
    return f"{profile(user, namespace)}:why"


def rules(user: str, namespace: str = PREFIX) -> str:
    """HASH of the user's own rulings and the mark of a forget."""
    return f"{profile(user, namespace)}:rules"


def seen(user: str, namespace: str = PREFIX) -> str:
    """STRING: 8-byte hashes of the user's last event ids, oldest first."""
    return f"{profile(user, namespace)}:seen"


def busy(user: str, namespace: str = PREFIX) -> str:
    """HASH log -> an hour, and 4-byte hashes of the items of its events, where a user had many in it."""
    return f"{profile(user, namespace)}:busy"


def texts(user: str, namespace: str = PREFIX) -> str:
    """SET of 16-byte digests: the texts of the user that the ledger may hold readings of."""
    return f"{profile(user, namespace)}:texts"


def all_of(user: str, horizons: Iterable[str], namespace: str = PREFIX) -> list[str]:
    """Every key that a user may have."""
    sets = [interests(user, stance, horizon, namespace) for horizon in horizons for stance in ("like", "dislike")]
    others = (meta, why, rules, seen, busy, texts)
    return [*sets, *(key(user, namespace) for key in others)]


def item(item_id: str) -> str:
    """STRING: the interests of an item."""
    return f"{PREFIX}:item:{escape(item_id)}"


def text(digest: str) -> str:
    """STRING: the interests of a text, by the hash of all that decides them."""
    return f"{PREFIX}:text:{digest}"


def reading(digest: str) -> str:
    """STRING: the lock of the worker that is reading that text right now."""
    return f"{PREFIX}:reading:{digest}"


def switched(run: str) -> str:
    """HASH log -> the offset up to which the live profiles had it when this run switched them."""
    return f"{PREFIX}:switched:{run}"


HORIZONS = f"{PREFIX}:horizons"
"""SET of every horizon that profiles were ever kept on: their sets may live on, and a forget has to find them."""

LOGS = f"{PREFIX}:logs"
"""HASH kind of topic -> epoch and topic id of the log that the positions in profiles count."""
