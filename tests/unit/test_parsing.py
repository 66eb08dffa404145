"""Whatever a model writes becomes findings or a named failure."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import parsing
from inference.parsing import Failure, parse
from inference.taxonomy import Taxonomy
from profiles.model import Stance
from tests.vllm_stub import CUT_OFF, CUT_OFF_EARLY, GARBAGE, GOOD, WHITE_SPACE


def test_a_good_answer():
    answer = parse(GOOD)
    (found,) = answer.found
    assert (found.entity, found.concept, found.stance) == ("刘慈欣", "fiction", Stance.LIKE)
    assert (answer.failure, answer.salvaged) == (None, False)


@pytest.mark.parametrize("output", ["[]", " [ ] ", "```json\n[]\n```"])
def test_no_interest_is_an_answer(output):
    assert parse(output) == parsing.Answer()


def test_text_around_the_array_is_let_pass():
    assert len(parse(f"```json\n{GOOD}\n```").found) == 1


def test_spaces_between_the_parts_are_let_pass():
    assert len(parse('[ {"e": null, "c": "law", "s": "like"} ,\n {"c": "music", "s": "dislike"} ]').found) == 2


def test_what_was_finished_before_the_cut_is_kept():
    answer = parse(CUT_OFF, "length")
    assert [f.entity for f in answer.found] == ["刘慈欣"]
    assert answer.salvaged


@pytest.mark.parametrize(
    ("output", "finish", "failure"),
    [
        ("", "stop", Failure.EMPTY),
        ("   ", "length", Failure.WHITE_SPACE),
        (WHITE_SPACE, "length", Failure.WHITE_SPACE),
        (GARBAGE, "stop", Failure.NOT_JSON),
        (CUT_OFF, "stop", Failure.NOT_JSON),
        (CUT_OFF_EARLY, "length", Failure.CUT_OFF),
        ("[" * 5000, "length", Failure.CUT_OFF),
        ('[{"c": 3, "s": "like"}]', "stop", Failure.WRONG_SHAPE),
        ('[{"e": "x", "c": "law", "s": "adores"}]', "stop", Failure.WRONG_SHAPE),
        ('[{"e": ["x"], "c": "law", "s": "like"}]', "stop", Failure.WRONG_SHAPE),
    ],
)
def test_a_failure_has_a_name(output, finish, failure):
    assert parse(output, finish) == parsing.Answer(failure=failure)


@given(st.text(alphabet='[]{}":,ecslike \n\\刘'), st.sampled_from(["stop", "length", None]))
def test_nothing_raises(output, finish):
    answer = parse(output, finish)
    assert not (answer.failure and answer.found)


def test_a_concept_is_known_by_slug_name_or_alias():
    taxonomy = Taxonomy.load()
    answer = parse('[{"e":"","c":"fiction","s":"like"},{"e":"","c":"no such thing","s":"like"}]')
    known, unknown = parsing.interests(answer, taxonomy.named, [0.9, 0.8])
    assert (known.concept, known.concept_id, known.confidence) == ("fiction", taxonomy.by_slug["fiction"].id, 0.9)
    assert (unknown.concept, unknown.concept_id) == ("no such thing", "")


def test_confidence_is_the_probability_of_concept_and_stance():
    output = '[{"e":"刘","c":"law","s":"like"},{"e":"","c":"music","s":"like"}]'
    answer = parse(output)
    second = output.index('"c":"music"')
    tokens = [(output[:second].encode(), math.log(0.5)), (output[second:].encode(), math.log(0.25))]
    # all before the second concept is one token here: it begins before the first one, and says nothing of it
    assert parsing.confidences(output, answer, tokens, 0.8) == [1.0, pytest.approx(0.25)]
    one_each = [(bytes([b]), math.log(0.99)) for b in output.encode()]
    sure = parsing.confidences(output, answer, one_each, 0.8)
    assert sure[0] == pytest.approx(0.99 ** len(b'"c":"law","s":"like"}')), "the entity has no say"


def test_confidence_without_probabilities_is_the_default():
    assert parsing.confidences(GOOD, parse(GOOD), [], 0.8) == [0.8]
    assert parsing.confidences(GOOD, parse(GOOD), [(b"[{", -0.1)], 0.8) == [0.8]


def test_pieces_of_letters_do_not_shift_the_confidence():
    pieces = [(b'[{"e":"', -1.0), *[("\ufffd".encode(), -1.0)] * 9, (b'",', -1.0), (b'"c":"fiction",', -0.25)]
    tokens = [*pieces, (b'"s":"like"}', -0.5), (b"]", -1.0)]
    assert parsing.confidences(GOOD, parse(GOOD), tokens, 0.8) == [pytest.approx(math.exp(-0.75))]


def test_a_broken_letter_in_an_answer_is_no_error():
    output = GOOD.replace("刘慈欣", "\ud800")
    assert parsing.confidences(output, parse(output), [(b'"c":"fiction","s":"like"}', 0.0)], 0.8) == [1.0]
