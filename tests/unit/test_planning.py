"""Planning is pure: what a batch amounts to, whatever its order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.decay import weight_at
from profiles.model import Observation, Rules, Signal, Stance
from profiles.planning import by_user, plan, without_repeats
from profiles.policy import LASTING, NOW, Horizon, Policy

START = 1_795_000_000_000_000
HOUR = 3600 * 10**6


A = (Signal("a", Stance.LIKE, 1.0),)


def observation(n, at=START, signals=A, user="u", event_id=None):
    return Observation(user, event_id or f"e{n}", n, at, signals)


def test_two_likes_half_a_life_apart():
    update = plan("clicks/0", [observation(0), observation(1, START + 6 * HOUR)], Policy())
    score = update.sets[Stance.LIKE, "now"]["a"]
    assert weight_at(score, START + 6 * HOUR, NOW.half_life) == pytest.approx(1.5, rel=1e-9)
    assert (len(update.observations), update.newest, update.events) == (2, START + 6 * HOUR, 2)


def test_neutral_is_a_share_of_a_like_and_dislikes_stand_apart():
    signals = (Signal("a", Stance.NEUTRAL, 1.0), Signal("b", Stance.DISLIKE, 2.0))
    update = plan("c/0", [observation(0, signals=signals)], Policy())
    weights = {
        (stance, interest): weight_at(score, START, LASTING.half_life)
        for (stance, horizon), scores in update.sets.items()
        if horizon == "lasting"
        for interest, score in scores.items()
    }
    assert weights == pytest.approx({(Stance.LIKE, "a"): 0.3, (Stance.DISLIKE, "b"): 2.0}, rel=1e-9)


def test_an_event_without_signals_still_moves_the_position():
    update = plan("c/0", [observation(7, signals=())], Policy())
    assert (update.observations[-1].offset, update.events, update.sets, update.evidence) == (7, 1, {}, {})


@given(st.lists(st.tuples(st.integers(0, 10**13), st.floats(0.01, 10)), min_size=1, max_size=30), st.randoms())
def test_order_inside_a_batch_does_not_change_the_sums(pairs, random):
    observations = [observation(n, START + t, (Signal("a", Stance.LIKE, w),)) for n, (t, w) in enumerate(pairs)]
    shuffled = observations.copy()
    random.shuffle(shuffled)
    one, other = (plan("c/0", batch, Policy()).sets for batch in (observations, shuffled))
    for key, scores in one.items():
        assert other[key]["a"] == pytest.approx(scores["a"], abs=2)


def test_what_is_long_forgotten_is_not_written():
    update = plan("c/0", [observation(0, START - 400 * 24 * HOUR), observation(1, signals=())], Policy())
    assert (Stance.LIKE, "now") not in {key for key, scores in update.sets.items() if scores}
    assert update.sets[Stance.LIKE, "lasting"]


def test_evidence_is_bounded_and_newest_first():
    update = plan("c/0", [observation(n, START + n) for n in range(9)], Policy(evidence_per_interest=3))
    assert [e.event for e in update.evidence["a"]] == ["e8", "e7", "e6"]
    assert plan("c/0", [observation(0)], Policy(evidence_per_interest=0)).evidence == {}


def test_rules_forbid_but_do_not_hide():
    rules = Rules(version=1, forgotten_before=START, retracted={"e2": START})
    update = plan("c/0", [observation(0), observation(1, START + 1), observation(2, START + 2)], Policy(), rules)
    assert (update.events, [o.event_id for o in update.observations]) == (1, ["e0", "e1", "e2"])


def test_grouping_keeps_order_and_repeats_go():
    batch = [observation(0, user="a"), observation(1, user="b"), observation(2, user="a", event_id="e0")]
    assert {user: [o.offset for o in group] for user, group in by_user(batch).items()} == {"a": [0, 2], "b": [1]}
    assert [o.offset for o in without_repeats([batch[0], batch[2]])] == [0]


def test_a_policy_has_one_to_four_horizons():
    with pytest.raises(ValueError, match="PENCHANT_HORIZONS"):
        Policy(horizons=())
    with pytest.raises(ValueError, match="one to four"):
        Policy(horizons=tuple(Horizon(f"h{n}", 1) for n in range(5)))
