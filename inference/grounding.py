"""Nothing ungrounded: what a reader found is held against the text it read and the taxonomy. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from inference.extraction import Extraction, Extractor, Interest, Passage
from inference.taxonomy import Taxonomy

MAX_INTERESTS = 5
MAX_ENTITY_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Grounded:
    """The findings that hold, and how many do not, by reason.

    Reasons: ``unknown_concept``, ``sensitive_concept``, ``ungrounded_entity`` (the interest stays, without its entity),
    ``repeated``, ``too_many``.
    """

    interests: tuple[Interest, ...]
    dropped: tuple[tuple[str, int], ...]


def ground(text: str, interests: Iterable[Interest], taxonomy: Taxonomy, *, allow_sensitive: bool = False) -> Grounded:
    """Keep the interests whose concept is known and allowed and whose entity stands in the text, letter by letter.

    An entity with a wrong or no span gets the span of its first occurrence; confidence is held between 0 and 1.
    """
    dropped: Counter[str] = Counter()
    kept: dict[tuple[str, str | None], Interest] = {}
    for interest in interests:
        concept = taxonomy.by_id.get(interest.concept_id) or taxonomy.by_slug.get(interest.concept)
        if concept is None:
            dropped["unknown_concept"] += 1
            continue
        if concept.sensitive and not allow_sensitive:
            dropped["sensitive_concept"] += 1
            continue
        entity, span = _located(text, interest.entity, interest.span)
        if interest.entity and entity is None:
            dropped["ungrounded_entity"] += 1
        found = replace(
            interest,
            concept=concept.slug,
            concept_id=concept.id,
            entity=entity,
            span=span,
            confidence=_probability(interest.confidence),
        )
        known = kept.get((concept.id, entity))
        if known is not None:
            dropped["repeated"] += 1
        if known is None or known.confidence < found.confidence:
            kept[concept.id, entity] = found
    if len(kept) > MAX_INTERESTS:
        dropped["too_many"] += len(kept) - MAX_INTERESTS
    return Grounded(tuple(kept.values())[:MAX_INTERESTS], tuple(sorted(dropped.items())))


def _located(
    text: str, entity: str | None, span: tuple[int, int] | None
) -> tuple[str, tuple[int, int]] | tuple[None, None]:
    entity = entity.strip() if entity else ""
    if not entity or len(entity) > MAX_ENTITY_CHARACTERS:
        return None, None
    if span is not None and 0 <= span[0] < span[1] and text[span[0] : span[1]] == entity:
        return entity, span
    at = text.find(entity)
    return (entity, (at, at + len(entity))) if at >= 0 else (None, None)


def _probability(value: float) -> float:
    return min(1.0, max(0.0, value)) if value == value else 0.0  # noqa: PLR0124 - a NaN differs from itself


class GroundingExtractor:
    """Any extractor, its findings grounded."""

    def __init__(self, inner: Extractor, taxonomy: Taxonomy, *, allow_sensitive: bool = False) -> None:
        self._inner = inner
        self._taxonomy = taxonomy
        self._allow_sensitive = allow_sensitive

    @property
    def reader(self) -> str:
        """The inner extractor's identity."""
        return self._inner.reader

    async def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Read the passages; what does not hold is dropped and counted."""
        extractions = await self._inner.extract(passages)
        return [self._ground(passage, found) for passage, found in zip(passages, extractions, strict=True)]

    def _ground(self, passage: Passage, found: Extraction) -> Extraction:
        text = found.text or passage.text
        grounded = ground(text, found.interests, self._taxonomy, allow_sensitive=self._allow_sensitive)
        counts = Counter(dict(found.dropped)) + Counter(dict(grounded.dropped))
        return replace(found, text=text, interests=grounded.interests, dropped=tuple(sorted(counts.items())))

    async def aclose(self) -> None:
        """Close the inner extractor."""
        await self._inner.aclose()
