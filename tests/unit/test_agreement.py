"""A model and the embedded reader, where they differ."""

import pytest

from inference.agreement import SURE, settled
from inference.extraction import Interest
from profiles.model import Stance


def interest(concept, confidence, *, entity=None, stance=Stance.LIKE):
    return Interest(concept, f"id of {concept}", stance, confidence, entity)


@pytest.mark.parametrize(
    ("model", "reader", "outcome"),
    [
        (("jazz", SURE - 0.1), ("opera", 0.4), ("opera", 0.4)),
        (("jazz", SURE), ("opera", 0.9), ("jazz", SURE)),
        (("jazz", 0.3), ("jazz", 0.6), ("jazz", 0.6)),
        (("jazz", 0.8), ("jazz", 0.6), ("jazz", 0.8)),
    ],
)
def test_an_unsure_models_concept_gives_way_and_its_entity_and_stance_stay(model, reader, outcome):
    ours = interest(*model, entity="Miles", stance=Stance.DISLIKE)
    assert settled([ours], [interest(*reader)]) == [interest(*outcome, entity="Miles", stance=Stance.DISLIKE)]


def test_where_they_do_not_see_as_many_the_models_stand():
    ours = [interest("jazz", 0.1), interest("opera", 0.1)]
    assert settled(ours, [interest("pets", 0.9)]) == ours
    assert settled([], [interest("pets", 0.9)]) == []
