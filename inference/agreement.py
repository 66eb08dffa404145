"""Two readers of one text: the tuned model finds names better, the embedded reader knows concepts better. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from inference.extraction import Interest

SURE = 0.7
"""From this confidence on, the model's concept stands against the embedded reader's.

Chosen on 1,207 training rows that neither had seen: concepts were right 0.69 by the model, 0.76 by the reader and 0.76
so, with the model's entities (0.87 against 0.81).
"""


def settled(found: Sequence[Interest], suggested: Sequence[Interest]) -> list[Interest]:
    """The model's interests, in which a concept it is not ``SURE`` of gives way to the one suggested.

    The confidence is then that of the reader; where both agree, of the one who is surer. Where they do not see as many
    interests nothing tells which belongs to which, and the model's stand.
    """
    if len(found) != len(suggested):
        return list(found)
    return [_settled(*pair) for pair in zip(found, suggested, strict=True)]


def _settled(ours: Interest, theirs: Interest) -> Interest:
    if ours.concept == theirs.concept:
        return replace(ours, confidence=max(ours.confidence, theirs.confidence))
    if ours.confidence >= SURE:
        return ours
    return replace(ours, concept=theirs.concept, concept_id=theirs.concept_id, confidence=theirs.confidence)
