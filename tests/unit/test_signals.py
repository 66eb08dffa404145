"""Clicks and comments as signals."""

import pytest

from inference.extraction import Interest
from profiles.model import Signal, Stance
from profiles.policy import ACTIONS, action_weight
from streams.events import Action
from streams.signals import comment_signals, entity_interest, item_signals

SCI_FI = Interest("science-fiction", "652", Stance.LIKE, 0.9, "刘慈欣", (0, 3))


def test_a_comment_shows_the_concept_and_the_entity():
    assert comment_signals([SCI_FI], "text", "r") == (
        Signal("science-fiction", Stance.LIKE, 1.8, "text", "r"),
        Signal("science-fiction:刘慈欣", Stance.LIKE, 1.8, "text", "r"),
    )


def test_an_action_gives_its_own_stance_and_strength():
    (concept, _) = item_signals([SCI_FI], action_weight("hide"), "title", "r")
    assert concept == Signal("science-fiction", Stance.DISLIKE, pytest.approx(1.35), "title", "r")


def test_a_concept_named_twice_counts_once_at_its_strongest():
    weaker = Interest("science-fiction", "652", Stance.LIKE, 0.4, "Dune", (5, 9))
    names = [(s.interest, round(s.strength, 6)) for s in comment_signals([weaker, SCI_FI], "t", "r")]
    assert names == [("science-fiction", 1.8), ("science-fiction:dune", 0.8), ("science-fiction:刘慈欣", 1.8)]


def test_one_entity_has_one_spelling():
    assert entity_interest("phones", "ｉＰhone  17\nPro") == "phones:iphone 17 pro"
    assert len(entity_interest("c", "长" * 500)) == 2 + 48


def test_every_action_of_the_contract_is_weighed():
    assert set(ACTIONS) == {action.value for action in Action}


@pytest.mark.parametrize(("dwell_ms", "strength"), [(None, 0.5), (0, 0.0), (15_000, 0.5), (30_000, 1.0), (10**9, 1.0)])
def test_dwell_counts_in_proportion(dwell_ms, strength):
    assert action_weight("dwell", dwell_ms).strength == strength
