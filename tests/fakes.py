"""Second implementations of ports, for tests about something else; tests/contracts holds them to the same rules."""

from collections.abc import Mapping, Sequence

from inference.extraction import Extraction, Interest, Passage, Tier
from profiles.model import Stance

WORDS: Mapping[str, tuple[str, str]] = {
    "cats": ("pets", "422"),
    "opera": ("opera", "1"),
    "science fiction": ("science-fiction", "652"),
    "科幻": ("science-fiction", "652"),
    "horror": ("horror", "2"),
}


class KeywordExtractor:
    """Finds the concepts of a few words; "hate" makes it a dislike. Deterministic, and known to the oracle."""

    reader = "keywords-1"

    async def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        return [Extraction(tuple(self.read(p.text)), Tier.EMBEDDED, self.reader, p.text) for p in passages]

    async def aclose(self) -> None:
        """Nothing is held."""

    def read(self, text: str) -> list[Interest]:
        stance = Stance.DISLIKE if "hate" in text else Stance.LIKE
        return [Interest(slug, concept_id, stance, 0.5) for word, (slug, concept_id) in WORDS.items() if word in text]


class Clock:
    """A monotonic clock that moves when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now
