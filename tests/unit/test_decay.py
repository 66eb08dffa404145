"""The algebra of effective time against plain decayed sums."""

from math import exp2, inf, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.decay import effective_time, forgotten_at, merge, weight_at

DAY = 86_400 * 10**6
HALF_LIFE = DAY / 4
START = 1_795_000_000_000_000

signals = st.lists(st.tuples(st.floats(0.01, 50), st.integers(START, START + 3 * DAY)), min_size=1, max_size=60)


@given(signals)
def test_merged_scores_equal_the_decayed_sum(given_signals):
    now = START + 3 * DAY
    score = -inf
    for weight, at in given_signals:
        score = merge(score, effective_time(weight, at, HALF_LIFE), HALF_LIFE)
    exact = sum(w * exp2((at - now) / HALF_LIFE) for w, at in given_signals)
    assert weight_at(score, now, HALF_LIFE) == pytest.approx(exact, rel=1e-9)


@given(signals, st.randoms())
def test_order_does_not_matter(given_signals, random):
    def total(pairs):
        score = -inf
        for weight, at in pairs:
            score = merge(score, effective_time(weight, at, HALF_LIFE), HALF_LIFE)
        return score

    shuffled = given_signals.copy()
    random.shuffle(shuffled)
    assert total(shuffled) == pytest.approx(total(given_signals), rel=0, abs=2.0)


def test_a_weight_of_one_is_its_own_instant_and_halves_in_a_half_life():
    score = effective_time(1.0, START, HALF_LIFE)
    assert score == START
    assert weight_at(score, START + HALF_LIFE, HALF_LIFE) == 0.5


def test_thirty_half_lives_forget():
    assert weight_at(forgotten_at(START, HALF_LIFE), START, HALF_LIFE) == exp2(-30)


def test_far_apart_instants_neither_overflow_nor_vanish():
    old, new = effective_time(1.0, 0, HALF_LIFE), effective_time(1.0, START, HALF_LIFE)
    assert merge(old, new, HALF_LIFE) == new
    assert weight_at(new, 0, HALF_LIFE) == exp2(1023)
    assert log2(weight_at(new, START, HALF_LIFE)) == 0
