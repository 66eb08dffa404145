"""Exponential decay without a decay job: the algebra of effective time.

An interest is stored as the instant at which it would weigh exactly 1. With half-life ``H``:

    one signal of weight w at t      s = t + H * log2(w)
    sum of two                       s = hi + H * log2(1 + 2 ** ((lo - hi) / H))
    weight at any later instant      2 ** ((s - now) / H)

The sum commutes, never overflows, and its order does not change as time passes. Instants and half-lives are in
microseconds; effective times are stored as whole microseconds, which a double and a Redis listpack hold exactly.
``library.lua`` holds the same algebra; a property test keeps the two equal.
"""

from math import exp2, inf, log2

FORGOTTEN_HALF_LIVES = 30
"""An interest is forgotten when it weighs less than 2 ** -30: far below what could still show in a sum."""


def effective_time(weight: float, at: float, half_life: float) -> float:
    """The instant at which a signal of ``weight`` (> 0) at ``at`` weighs 1."""
    return at + half_life * log2(weight)


def merge(a: float, b: float, half_life: float) -> float:
    """The effective time of the sum of two decayed weights."""
    low, high = (a, b) if a < b else (b, a)
    if low == -inf:
        return high
    return high + half_life * log2(1.0 + exp2((low - high) / half_life))


def weight_at(score: float, now: float, half_life: float) -> float:
    """The weight at ``now`` of an interest whose effective time is ``score``."""
    return exp2(min((score - now) / half_life, 1023.0))


def forgotten_at(now: float, half_life: float) -> float:
    """The effective time below which an interest counts as forgotten at ``now``."""
    return now - FORGOTTEN_HALF_LIVES * half_life
