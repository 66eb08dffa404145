import pytest

from inference.extraction import Extraction, Interest, Passage, Tier
from inference.grounding import GroundingExtractor, ground
from inference.taxonomy import Taxonomy
from profiles.model import Stance


@pytest.fixture(scope="module")
def taxonomy():
    return Taxonomy.load()


def interest(slug="science-fiction", concept_id="", entity=None, span=None, confidence=0.9):
    return Interest(slug, concept_id, Stance.LIKE, confidence, entity, span)


TEXT = "刘慈欣写的科幻，刘慈欣！"


def test_what_is_in_the_text_and_the_taxonomy_stays(taxonomy):
    grounded = ground(TEXT, [interest(entity="刘慈欣", span=(8, 11))], taxonomy)
    (kept,) = grounded.interests
    assert (kept.entity, kept.span, kept.concept_id) == ("刘慈欣", (8, 11), taxonomy.by_slug["science-fiction"].id)
    assert grounded.dropped == ()


def test_a_wrong_span_is_mended(taxonomy):
    (kept,) = ground(TEXT, [interest(entity=" 刘慈欣 ", span=(1, 4))], taxonomy).interests
    assert kept.span == (0, 3)


@pytest.mark.parametrize("entity", ["劉慈欣", "Liu Cixin", "刘慈欣写的三体", "x" * 200])
def test_an_entity_that_is_not_in_the_text_goes_and_the_interest_stays(taxonomy, entity):
    grounded = ground(TEXT, [interest(entity=entity)], taxonomy)
    assert [(i.entity, i.span) for i in grounded.interests] == [(None, None)]
    assert dict(grounded.dropped) == {"ungrounded_entity": 1}


def test_an_unknown_concept_goes(taxonomy):
    grounded = ground(TEXT, [interest("no-such-thing", "no-such-id")], taxonomy)
    assert grounded.interests == ()
    assert dict(grounded.dropped) == {"unknown_concept": 1}


def test_sensitive_concepts_go_unless_allowed(taxonomy):
    sensitive = next(c for c in taxonomy.concepts if c.sensitive)
    found = [interest(sensitive.slug, sensitive.id)]
    assert dict(ground(TEXT, found, taxonomy).dropped) == {"sensitive_concept": 1}
    assert len(ground(TEXT, found, taxonomy, allow_sensitive=True).interests) == 1


def test_repeats_count_once_at_their_strongest_and_a_flood_is_cut(taxonomy):
    grounded = ground(
        TEXT, [interest(confidence=0.2), interest(confidence=7.0), interest(confidence=float("nan"))], taxonomy
    )
    assert [i.confidence for i in grounded.interests] == [1.0]
    flood = ground(TEXT, [interest(c.slug, c.id) for c in taxonomy.concepts[:50] if not c.sensitive], taxonomy)
    assert len(flood.interests) == 5
    assert dict(flood.dropped)["too_many"] > 0


async def test_counts_add_to_those_of_the_reader(taxonomy):
    class Reader:
        reader = "r"

        async def extract(self, passages):
            return [
                Extraction((interest("nope", "nope"),), Tier.VLLM, "r", dropped=(("unknown_concept", 2),))
                for _ in passages
            ]

        async def aclose(self):
            pass

    (found,) = await GroundingExtractor(Reader(), taxonomy).extract([Passage(TEXT)])
    assert dict(found.dropped) == {"unknown_concept": 3}
    assert found.text == TEXT
