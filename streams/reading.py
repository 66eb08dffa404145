"""From events to observations: what a click and a comment say about their user."""

import asyncio
import time
from collections.abc import Sequence

from xxhash import xxh3_64_hexdigest

from inference.catalogue import Catalogue, ItemVersion, version_at
from inference.extraction import Extraction, Extractor, Overloaded, Passage
from profiles.model import Observation
from profiles.planning import Signals
from profiles.policy import action_weight

from .events import Click, Comment, InlineItem, Item, Reason, Rejected
from .intake import Placed
from .observer import Observer, TextsRead
from .signals import comment_signals, item_signals

_POLL_SECONDS = 0.1
_MISSING_FOR_SECONDS = 60.0
_MAX_MISSING = 100_000


class TextReader:
    """The extractor as the pipeline uses it: waits out overload, and tells what was read."""

    def __init__(self, extractor: Extractor, observer: Observer) -> None:
        self._extractor = extractor
        self._observer = observer

    async def read(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Read the passages, however long the extractor makes us wait: meanwhile the lag grows, nothing is lost."""
        if not passages:
            return []
        while True:
            try:
                extractions = await self._extractor.extract(passages)
            except Overloaded as overloaded:
                await asyncio.sleep(overloaded.retry_after)
                continue
            self._tell(extractions)
            return extractions

    def _tell(self, extractions: Sequence[Extraction]) -> None:
        for tier in {e.tier for e in extractions}:
            of_tier = [e for e in extractions if e.tier is tier]
            dropped: dict[str, int] = {}
            for reason, count in (d for e in of_tier for d in e.dropped):
                dropped[reason] = dropped.get(reason, 0) + count
            self._observer.observe(
                TextsRead(
                    tier=tier.value,
                    texts=len(of_tier),
                    interests=sum(len(e.interests) for e in of_tier),
                    cached=sum(e.cached for e in of_tier),
                    tokens=sum(e.tokens for e in of_tier if not e.cached),
                    dropped=dropped,
                )
            )


class CommentReader:
    """Comments, reviews, posts, questions, messages and searches: the text is its user's own."""

    def __init__(self, texts: TextReader) -> None:
        self._texts = texts

    async def observe(self, comments: Sequence[Placed[Comment]]) -> list[Observation | Rejected]:
        """One observation a comment; one without interests is an observation without signals."""
        extractions = await self._texts.read([Passage(c.event.text, author=c.event.user_id) for c in comments])
        return [
            Observation(
                user=placed.event.user_id,
                event_id=placed.event.event_id,
                offset=placed.offset,
                at=int(placed.event.occurred_at),
                signals=comment_signals(read.interests, excerpt(read.text), read.reader),
                target=placed.event.item_id,
                appended_at=placed.appended_at,
            )
            for placed, read in zip(comments, extractions, strict=True)
        ]


class ItemReader:
    """Items, from their own topic or inside a click, as versions for the catalogue."""

    def __init__(self, texts: TextReader) -> None:
        self._texts = texts

    async def versions(self, items: Sequence[tuple[Item | InlineItem, int]]) -> list[ItemVersion]:
        """Read the items, each given with the instant from which it is in force."""
        texts = [item_text(item) for item, _ in items]
        extractions = await self._texts.read([Passage(text, item=True) for text in texts])
        return [
            ItemVersion(
                int(since),
                xxh3_64_hexdigest(text.encode()),
                excerpt(item.title or text),
                read.reader,
                read.interests,
            )
            for (item, since), text, read in zip(items, texts, extractions, strict=True)
        ]


class ClickReader:
    """Clicks: their signals are the interests of the item that the click met."""

    def __init__(self, items: ItemReader, catalogue: Catalogue, item_wait_seconds: float) -> None:
        self._items = items
        self._catalogue = catalogue
        self._wait = item_wait_seconds
        self._missing: dict[str, float] = {}
        self._signals: dict[tuple[int, str, float | None], tuple[ItemVersion, Signals]] = {}

    async def observe(self, clicks: Sequence[Placed[Click]]) -> list[Observation | Rejected]:
        """One observation a click, or a reject where its item stays unknown or says nothing to read."""
        inline = await self._read_inline(clicks)
        wanted = {c.event.item_id for c in clicks if c.row not in inline and c.event.item_id is not None}
        known = await self._find(wanted)
        results: list[Observation | Rejected] = []
        for placed in clicks:
            click = placed.event
            if placed.row in inline:
                version = inline[placed.row]
            elif click.item_id is None:
                results.append(
                    Rejected(Reason.ITEM_WITHOUT_TEXT, "the item inside the click has no title and no text", "item")
                )
                continue
            elif click.item_id in known:
                version = version_at(known[click.item_id], click.occurred_at)
            else:
                results.append(
                    Rejected(
                        Reason.UNKNOWN_ITEM,
                        f"no item '{click.item_id[:80]}' after {self._wait:g} s: "
                        "publish it to the items topic or inside the click, then replay",
                        "item_id",
                    )
                )
                continue
            results.append(
                Observation(
                    click.user_id,
                    click.event_id,
                    placed.offset,
                    int(click.occurred_at),
                    self._signals_of(version, click),
                    click.item_id,
                    placed.appended_at,
                )
            )
        return results

    async def _read_inline(self, clicks: Sequence[Placed[Click]]) -> dict[int, ItemVersion]:
        carrying = [c for c in clicks if c.event.item is not None and item_text(c.event.item)]
        versions = await self._items.versions([(c.event.item, c.event.occurred_at) for c in carrying if c.event.item])
        first = {c.event.item_id: v for c, v in zip(reversed(carrying), reversed(versions), strict=True)}
        named = {item_id: version for item_id, version in first.items() if item_id is not None}
        if named:
            known = await self._catalogue.find(list(named))
            await self._catalogue.add({i: v for i, v in named.items() if i not in known})
        return {c.row: v for c, v in zip(carrying, versions, strict=True)}

    async def _find(self, wanted: set[str]) -> dict[str, tuple[ItemVersion, ...]]:
        """Look the items up; wait a bounded time for those not there yet, once for each unknown item."""
        known = await self._catalogue.find(list(wanted))
        deadline = time.monotonic() + self._wait
        while True:
            now = time.monotonic()
            waiting = [
                i
                for i in wanted
                if i not in known and self._missing.get(i, -_MISSING_FOR_SECONDS) + _MISSING_FOR_SECONDS < now
            ]
            if not waiting:
                return known
            if now >= deadline:
                if len(self._missing) > _MAX_MISSING:
                    self._missing.clear()
                self._missing.update(dict.fromkeys(waiting, now))
                return known
            await asyncio.sleep(_POLL_SECONDS)
            known |= await self._catalogue.find(waiting)

    def _signals_of(self, version: ItemVersion, click: Click) -> Signals:
        """The same item and action give the same signals: made once while the version stays in memory."""
        key = (id(version), click.action, click.dwell_ms)
        known = self._signals.get(key)
        if known is not None and known[0] is version:
            return known[1]
        if len(self._signals) > _MAX_MISSING:
            self._signals.clear()
        action = action_weight(click.action, click.dwell_ms)
        signals = item_signals(version.interests, action, f"{version.title} #{version.digest}", version.reader)
        self._signals[key] = (version, signals)
        return signals


def item_text(item: Item | InlineItem) -> str:
    """What there is to read of an item: title, category, tags and text."""
    tags = ", ".join(item.tags or ())
    return ". ".join(part for part in (item.title, item.category, tags, item.text) if part)


def excerpt(text: str, length: int = 120) -> str:
    """The beginning of a text, for evidence."""
    return text if len(text) <= length else text[: length - 1] + "…"
