import pytest

from inference.taxonomy import Concept, Taxonomy


@pytest.fixture(scope="module")
def taxonomy():
    return Taxonomy.load()


def test_all_nodes_are_there_with_unique_slugs_and_chinese_names(taxonomy):
    assert len(taxonomy.concepts) == len(taxonomy.by_id) == len(taxonomy.by_slug) == 704
    assert all(any("\u3400" <= c <= "\u9fff" for c in concept.name_zh) for concept in taxonomy.concepts)
    assert all(c.slug == c.slug.lower() and " " not in c.slug and ":" not in c.slug for c in taxonomy.concepts)


@pytest.mark.parametrize(
    "word", ["science fiction novel", "科幻小说", "科幻小說", "Science Fiction", "science-fiction", "sci-fi"]
)
def test_one_concept_goes_by_many_names(taxonomy, word):
    assert taxonomy.named(word).slug == "science-fiction"


def test_an_unknown_word_names_nothing(taxonomy):
    assert taxonomy.named("zzyzx") is None
    assert taxonomy.named("") is None


def test_the_mark_of_a_node_holds_for_what_is_below_it(taxonomy):
    marked = [c for c in taxonomy.concepts if c.sensitive]
    assert {"Medical Health", "Religion & Spirituality", "Sensitive Topics"} <= {c.path[0] for c in marked}
    for concept in taxonomy.concepts:
        if any(a.sensitive for a in taxonomy.ancestors(concept)):
            assert concept.sensitive, concept.slug
    assert not taxonomy.by_slug["science-fiction"].sensitive


def test_paths_lead_from_tier_one_down_to_the_node(taxonomy):
    concept = taxonomy.by_slug["science-fiction"]
    assert taxonomy.tier1(concept).name == concept.path[0]
    assert concept.path[-1] == concept.name


def slugs(taxonomy, text):
    return [m.concept.slug for m in taxonomy.mentions(text)]


def test_the_longest_name_wins_and_mentions_stand_in_order():
    small = Taxonomy(
        [
            Concept("1", "fiction", "Fiction", "小说", ("Fiction",), None, sensitive=False, aliases=()),
            Concept(
                "2",
                "science-fiction",
                "Science Fiction",
                "科幻小说",
                ("Fiction",),
                "1",
                sensitive=False,
                aliases=("sci-fi",),
            ),
            Concept("3", "cats", "Cats", "猫", ("Cats",), None, sensitive=False, aliases=("kitten",)),
        ]
    )
    assert slugs(small, "科幻小说和小说") == ["science-fiction", "fiction"]
    assert slugs(small, "science fiction, fiction, Sci-Fi!") == ["science-fiction", "fiction", "science-fiction"]
    assert slugs(small, "kittens love 科幻小說") == ["cats", "science-fiction"]
    assert slugs(small, "concatscience fictional") == []


def test_mentions_point_into_the_text_as_it_was_written(taxonomy):
    text = "ＶＲ和Ｓｃｉ－Ｆｉ，還有科幻小說"
    found = taxonomy.mentions(text)
    assert found
    assert text[found[-1].start : found[-1].end] == "科幻小說"
