"""Keys: one hash slot a user, whatever the id holds."""

from hypothesis import given
from hypothesis import strategies as st

from profiles import keys


@given(st.text(min_size=1))
def test_any_id_round_trips_and_keeps_one_hash_tag(user):
    key = keys.interests(user, "like", "now")
    assert keys.user_of(key) == user
    assert key.count("{") == key.count("}") == 1


def test_golden_keys():
    assert keys.interests("u1", "like", "now") == "pen:1:{u1}:like:now"
    assert keys.why("a{b}%", "pen:1") == "pen:1:{a%7Bb%7D%25}:why"
    assert keys.meta("u1") == "pen:1:{u1}:meta"
    assert keys.rules("u1") == "pen:1:{u1}:rules"
    assert keys.texts("u1") == "pen:1:{u1}:texts"
    assert keys.texts("u1") in keys.all_of("u1", ["now"])
    assert keys.meta("u1", keys.shadow()) == "pen:1:shadow:{u1}:meta"
    assert keys.meta("u1", keys.before()) == "pen:1:before:{u1}:meta"
    assert keys.HORIZONS == "pen:1:horizons"
    assert keys.switched("ab") == "pen:1:switched:ab"
    assert keys.item("i1") == "pen:1:item:i1"
    assert keys.text("0a") == "pen:1:text:0a"
