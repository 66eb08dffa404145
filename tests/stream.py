"""A mixed stream of events, seeded, and what the oracle makes of it: the acceptance case of the main job."""

import json
import random
import subprocess
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from tests.oracle import Shown

START_MS = 1_795_000_000_000
MINUTES_10 = 600_000

ITEMS = (
    ("i-book", "product", "三体:长篇科幻小说"),
    ("i-shoes", "product", "Trail running shoes for muddy ground"),
    ("i-ramen", "video", "How to cook tonkotsu ramen at home"),
    ("i-python", "course", "Python programming course for beginners"),
    ("i-football", "news", "Football transfer window: who goes where"),
    ("i-tent", "product", "轻量双人露营帐篷"),
    ("i-cat", "article", "新手养猫指南"),
    ("i-jazz", "video", "Live jazz concert from Montreux"),
)
TEXTS = (
    "我最喜欢阅读科幻小说，特别是刘慈欣的作品。",
    "Dune is the best science fiction novel I have ever read",
    "Horror movies are awful, never again",
    "最近迷上了露营，星空太美",
    "哈哈哈哈",
    "lol see you later",
    "Which yoga mat should a beginner buy?",
    "讨厌吃香菜，火锅里千万别放",
    "My cat is the love of my life",
    "这家咖啡馆的手冲咖啡真好喝",
)
ACTIONS: Mapping[str, tuple[float, str]] = {
    "view": (0.2, "like"),
    "click": (1.0, "like"),
    "like": (2.0, "like"),
    "share": (3.0, "like"),
    "save": (2.5, "like"),
    "purchase": (5.0, "like"),
    "hide": (1.5, "dislike"),
    "dislike": (2.0, "dislike"),
}
COMMENT = 2.0


def mixed_events(number: int, *, seed: int, users: int = 40) -> list[dict[str, Any]]:
    """Items, then ``number`` clicks and comments with 5% duplicates, shuffled within ten minutes of their time."""
    rng = random.Random(seed)
    events: list[dict[str, Any]] = []
    for n in range(round(number / 1.05)):
        at = START_MS + n * 20_000
        event: dict[str, Any] = {"event_id": f"e{n}", "user_id": f"user {rng.randrange(users)}", "occurred_at": at}
        if rng.random() < 0.7:
            event |= {"action": rng.choice(list(ACTIONS)), "item_id": rng.choice(ITEMS)[0]}
            if rng.random() < 0.1:
                event |= {"action": "dwell", "dwell_ms": rng.randrange(60_000)}
        else:
            event |= {"kind": rng.choice(["comment", "review", "search"]), "text": rng.choice(TEXTS)}
        events.append(event)
    events += rng.sample(events, number - len(events))
    events.sort(key=lambda e: e["occurred_at"] + rng.uniform(0, MINUTES_10))
    items = [{"item_id": i, "kind": kind, "title": title} for i, kind, title in ITEMS]
    return items + events


def read_texts(texts: Sequence[str], *flags: str) -> dict[str, list[dict[str, Any]]]:
    """What the embedded tier reads in each text, by the public command: the one thing the oracle takes as given."""
    lines = "\n".join(texts)
    command = [sys.executable, "-m", "streams.cli", "extract", "-", "--json", *flags]
    output = subprocess.run(command, input=lines, capture_output=True, text=True, check=True).stdout
    return {row["text"]: row["interests"] for row in map(json.loads, output.splitlines())}


def shown(events: Sequence[dict[str, Any]]) -> list[Shown]:
    """The events as the oracle takes them, in the order given."""
    titles = {i: title for i, _, title in ITEMS}
    readings = read_texts(TEXTS) | read_texts(list(titles.values()), "--item")
    return [_shown(e, readings, titles) for e in events if "user_id" in e]


def _shown(event: dict[str, Any], readings: Mapping[str, list[dict[str, Any]]], titles: Mapping[str, str]) -> Shown:
    signals: dict[tuple[str, str], float] = {}
    if "text" in event:
        strength, direction, found = COMMENT, None, readings[event["text"]]
    else:
        action = event["action"]
        found = readings[titles[event["item_id"]]]
        if action == "dwell":
            strength, direction = min(event["dwell_ms"] / 30_000, 1.0), "like"
        else:
            strength, direction = ACTIONS[action]
    for interest in found:
        names = [interest["concept"]]
        if interest["entity"]:
            entity = " ".join(unicodedata.normalize("NFKC", interest["entity"]).casefold().split())
            names.append(f"{interest['concept']}:{entity[:48].rstrip()}")
        for name in names:
            key = (name, direction or interest["stance"])
            signals[key] = max(signals.get(key, 0.0), strength * interest["confidence"])
    return Shown(
        event["user_id"],
        event["event_id"],
        event["occurred_at"] * 1000,
        tuple((name, stance, strength) for (name, stance), strength in signals.items() if strength > 0),
        event.get("item_id"),
    )
