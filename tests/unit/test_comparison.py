"""When two profiles of a user may be compared, and what the comparison says."""

import pytest

from profiles.comparison import Difference, Snapshot, Standing, difference, standing

HALF_LIVES = {"now": 100}
LIKES = ("like", "now")


def snapshot(positions=None, *, scores=None, rules=None, run="r1", newest=1000):
    return Snapshot(positions or {}, newest, rules or {}, {LIKES: scores or {}}, run)


@pytest.mark.parametrize(
    ("live", "copy", "ends", "done", "expected"),
    [
        ({"clicks/0": 5}, {"clicks/0": 5}, {}, {}, Standing.EVEN),
        ({"clicks/0": 6}, {"clicks/0": 5}, {"clicks/0": 6}, {}, Standing.BEHIND),
        ({"clicks/0": 6}, {"clicks/0": 5}, {"clicks/0": 7}, {}, Standing.EVEN),
        ({"clicks/0": 5, "clicks/9": 0}, {"clicks/0": 5}, {"clicks/0": 6}, {}, Standing.BEHIND),
        ({"clicks/0": 5}, {"clicks/0": 6}, {"clicks/0": 7}, {"clicks/0": 6}, Standing.AHEAD),
        ({"clicks/0": 5}, {"clicks/0": 6}, {"clicks/0": 7}, {"clicks/0": 7}, Standing.EVEN),
        ({"clicks/0": 9}, {"comments/0": 9}, {}, {}, Standing.BEHIND),
    ],
)
def test_a_copy_is_compared_only_where_both_know_the_same_events(live, copy, ends, done, expected):
    assert standing(snapshot(live), snapshot(copy), "r1", ends, done) is expected


def test_other_rules_and_another_run_are_seen_first():
    ruled = snapshot({"clicks/0": 1}, rules={"mute:cats": "7"})
    assert standing(ruled, snapshot(), "r1", {}, {}) is Standing.RULES
    assert standing(ruled, snapshot(run="r2"), "r1", {}, {}) is Standing.GONE
    assert standing(ruled, snapshot(run=None), "r1", {}, {}) is Standing.GONE


def test_the_largest_difference_is_a_share_of_the_larger_weight():
    live = snapshot(scores={"cats": 1000, "opera": 1000, "horror": 1200})
    copy = snapshot(scores={"cats": 900, "opera": 1000, "chess": 1000})
    assert difference(live, copy, HALF_LIVES) == Difference(1.0, "chess", LIKES, 0.0, 1.0, only_live=1, only_copy=1)
    cats = difference(live, snapshot(scores={"cats": 900, "opera": 1000, "horror": 1200}), HALF_LIVES)
    assert cats == Difference(0.5, "cats", LIKES, 1.0, 0.5)
    assert not cats.identical
    assert difference(live, live, HALF_LIVES) == Difference()


def test_what_is_nearly_forgotten_does_not_count():
    assert difference(snapshot(scores={"cats": 1000 - 27 * 100}), snapshot(), HALF_LIVES).identical
    assert not difference(snapshot(scores={"cats": 1000 - 26 * 100}), snapshot(), HALF_LIVES).identical
