"""What caches are told of a profile that was exchanged or cut: all it says, and what it says no more."""

from profiles.comparison import Snapshot
from profiles.model import Stance
from profiles.policy import Policy
from streams.outbox import whole

START = 1_795_000_000_000_000
HOUR = 3600 * 10**6
HALF_LIVES = Policy().half_lives
LIKE_NOW, DISLIKE_NOW = (Stance.LIKE, "now"), (Stance.DISLIKE, "now")
EMPTY = Snapshot({}, -1, {}, {LIKE_NOW: {}, DISLIKE_NOW: {}})


def profile(newest, likes=(), dislikes=()):
    return Snapshot(
        {}, newest, {}, {LIKE_NOW: dict.fromkeys(likes, START), DISLIKE_NOW: dict.fromkeys(dislikes, START)}
    )


def told(now, before):
    update = whole("u", now, before, HALF_LIVES)
    return update.at, update.events, {(c.interest, c.stance, c.horizon): c.weight for c in update.changes}


def test_all_that_it_says_is_told_with_the_weights_of_its_newest_event_and_what_is_gone_with_none():
    now = profile(START + 6 * HOUR, likes=["cats", "opera"])
    before = profile(START + 90 * HOUR, likes=["cats", "horror"], dislikes=["opera"])
    assert told(now, before) == (
        "2026-11-18T17:06:40+00:00",
        0,
        {
            ("cats", "like", "now"): 0.5,
            ("opera", "like", "now"): 0.5,
            ("horror", "like", "now"): 0.0,
            ("opera", "dislike", "now"): 0.0,
        },
    )


def test_a_profile_of_which_nothing_is_left_is_told_as_of_the_one_before():
    assert told(EMPTY, profile(START, likes=["cats"])) == (
        "2026-11-18T11:06:40+00:00",
        0,
        {("cats", "like", "now"): 0.0},
    )


def test_of_nobody_nothing_is_told():
    assert whole("u", EMPTY, EMPTY, HALF_LIVES) is None


def test_of_nobody_a_command_tells_that_nothing_is_left():
    update = whole("u", EMPTY, EMPTY, HALF_LIVES, START)
    assert (update.at, update.events, update.changes) == ("2026-11-18T11:06:40+00:00", 0, [])
