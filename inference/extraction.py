"""The contract between a text and its interests: what is asked, what is answered, and by whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from profiles.model import Stance


class Tier(StrEnum):
    """Who answered: the quality gate (nothing to read), the embedded reader, or a vLLM server."""

    GATE = "gate"
    EMBEDDED = "embedded"
    VLLM = "vllm"


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to read. ``context`` is what it is about (an item's title), never a source of entities.

    ``item`` marks an item's own text: it is always about something, so the question whether it is chatter is not put.
    ``author`` is whoever can have the reading forgotten, if anyone; it decides nothing about the reading itself.
    """

    text: str
    context: str = ""
    item: bool = False
    author: str = ""


@dataclass(frozen=True, slots=True)
class Interest:
    """One interest named in a text.

    ``concept`` is our slug and ``concept_id`` the IAB node. ``entity`` occurs verbatim in the text that was read, at
    ``span`` (character offsets, end exclusive), or both are None. ``confidence`` is between 0 and 1.
    """

    concept: str
    concept_id: str
    stance: Stance
    confidence: float
    entity: str | None = None
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What an estimator tells the model that reads after it.

    ``interests`` is its own reading; ``likely`` are the slugs of other concepts that the text may be about, in order.
    """

    interests: tuple[Interest, ...] = ()
    likely: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one passage was found to say. Chatter has no interests.

    ``text`` is the passage after cleaning: the one that spans point into. ``reader`` names model, prompt and schema
    version; ``tokens`` counts prompt and output tokens of a model call, 0 where none was made; ``dropped`` counts
    ungrounded, unknown or sensitive findings by reason.
    ``steps`` counts what preparation changed, by step, and holds the gate's reason where nothing was read.
    """

    interests: tuple[Interest, ...]
    tier: Tier
    reader: str
    text: str = ""
    tokens: int = 0
    cached: bool = False
    dropped: tuple[tuple[str, int], ...] = ()
    steps: tuple[tuple[str, int], ...] = ()


BAD_ANSWER = "answer_"
"""What the reasons in ``dropped`` begin with that say: the model's answer was no whole JSON."""


@runtime_checkable
class Extractor(Protocol):
    """Names the interests in texts. Results stand in the order of the passages.

    Raises :class:`Overloaded` when it cannot take the work now; nothing else for any text.
    """

    @property
    def reader(self) -> str:
        """The identity of what reads: model, prompt version and schema version."""
        ...

    async def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Read the passages."""
        ...

    async def aclose(self) -> None:
        """Release what the extractor holds."""
        ...


@runtime_checkable
class Estimator(Extractor, Protocol):
    """An extractor in this process that can also help a model to read."""

    async def suggest(self, passage: Passage) -> Suggestion:
        """What to tell the model about the passage."""
        ...


class Overloaded(Exception):  # noqa: N818 - a state to wait out, not an error
    """The extractor cannot take work now. ``retry_after`` is in seconds."""

    def __init__(self, retry_after: float, why: str) -> None:
        super().__init__(f"{why}; retry after {retry_after:.1f} s")
        self.retry_after = retry_after
