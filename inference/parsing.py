"""From what a model wrote to interests, or the reason why not. Pure.

Objects are read one by one, so that an answer cut off in its middle still gives those that were finished.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from inference.extraction import Interest
from inference.taxonomy import Concept
from profiles.model import Stance

_OBJECT = re.compile(r"[\s,]*(?=\{)")
_BLANK_RUN = re.compile(r"\s{16,}\Z")
_DECODER = json.JSONDecoder()


class Failure(StrEnum):
    """Why an answer could not be used at all."""

    EMPTY = "empty"
    WHITE_SPACE = "white_space"
    NOT_JSON = "not_json"
    WRONG_SHAPE = "wrong_shape"
    CUT_OFF = "cut_off"


@dataclass(frozen=True, slots=True)
class Found:
    """One finding as the model wrote it, at characters ``start`` to ``end`` of its answer."""

    entity: str
    concept: str
    stance: Stance
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The findings of an answer, or a ``failure``. ``salvaged``: the answer was cut off after the last of them."""

    found: tuple[Found, ...] = ()
    failure: Failure | None = None
    salvaged: bool = False


def parse(output: str, finish_reason: str | None = "stop") -> Answer:
    """Read a model's answer: a JSON array of objects with e, c and s; text around it is let pass.

    ``finish_reason`` is the server's: "length" says that the answer was cut off.
    """
    cut_off = finish_reason == "length"
    if not output.strip():
        return Answer(failure=Failure.WHITE_SPACE if len(output) > 1 or cut_off else Failure.EMPTY)
    at = output.find("[")
    if at < 0:
        return Answer(failure=Failure.CUT_OFF if cut_off else Failure.NOT_JSON)
    found: list[Found] = []
    at += 1
    while opening := _OBJECT.match(output, at):
        try:
            value, at = _DECODER.raw_decode(output, opening.end())
        except (ValueError, RecursionError):
            at = opening.end()
            break
        if (finding := _finding(value, opening.end(), at)) is None:
            return Answer(failure=Failure.WRONG_SHAPE)
        found.append(finding)
    if output[at:].lstrip().startswith("]"):
        return Answer(tuple(found))
    if found and cut_off:
        return Answer(tuple(found), salvaged=True)
    return Answer(failure=_why_unfinished(output, cut_off=cut_off))


def _why_unfinished(output: str, *, cut_off: bool) -> Failure:
    if _BLANK_RUN.search(output):
        return Failure.WHITE_SPACE
    return Failure.CUT_OFF if cut_off else Failure.NOT_JSON


def _finding(value: object, start: int, end: int) -> Found | None:
    if not isinstance(value, dict):
        return None
    entity, concept, stance = value.get("e"), value.get("c"), value.get("s")
    if not isinstance(concept, str) or not isinstance(stance, str) or not isinstance(entity, str | None):
        return None
    try:
        return Found((entity or "").strip(), concept.strip(), Stance(stance), start, end)
    except ValueError:
        return None


def interests(answer: Answer, named: Callable[[str], Concept | None], confidences: Sequence[float]) -> list[Interest]:
    """The findings as interests. A concept that ``named`` does not know keeps its word, and grounding drops it."""
    made = []
    for found, confidence in zip(answer.found, confidences, strict=True):
        concept = named(found.concept)
        made.append(
            Interest(
                concept=concept.slug if concept else found.concept,
                concept_id=concept.id if concept else "",
                stance=found.stance,
                confidence=confidence,
                entity=found.entity or None,
            )
        )
    return made


def confidences(output: str, answer: Answer, tokens: Sequence[tuple[bytes, float]], default: float) -> list[float]:
    """How probable the model held concept and stance of each finding: the product of the probabilities of their tokens.

    The entity's are left out: it says how the interest is called, not whether it is there.
    ``tokens`` are the bytes that each token stands for and its log probability, in order. Servers give other bytes than
    the answer's for a piece of a letter, so concept and stance are looked for among them; where they are not found, the
    finding gets ``default``.
    """
    written = b"".join(piece for piece, _ in tokens)
    places = list(_places(tokens))
    made, end = [], 0
    for found in answer.found:
        concept = max(output.rfind('"c"', found.start, found.end), found.start)
        wanted = output[concept : found.end].encode("utf-8", "surrogatepass")
        start = written.find(wanted, end)
        if start < 0:
            made.append(default)
            continue
        end = start + len(wanted)
        made.append(math.exp(sum(logprob for at, logprob in places if start <= at < end)))
    return made


def _places(tokens: Sequence[tuple[bytes, float]]) -> Iterator[tuple[int, float]]:
    at = 0
    for piece, logprob in tokens:
        yield at, logprob
        at += len(piece)
