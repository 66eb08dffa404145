"""The gold set: every row is well-formed, and nothing of the evaluation set is known from training."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from inference.embedded.fitting import read_rows
from inference.evaluation import load_rows
from inference.evaluation.matching import spelled_alike
from inference.preparation.duplicates import resemblance, shingles
from inference.taxonomy import Taxonomy
from inference.training import examples

GOLD = Path(__file__).parents[2] / "inference" / "data" / "gold"
KINDS = {"plain", "slang", "negation", "sarcasm", "question", "search", "contrast", "injection", "pii", "chatter"}
DOMAINS = {"ecommerce", "social", "content", "education"}
_ALIKE = 0.5


@pytest.mark.parametrize("read", [load_rows, examples.load, read_rows])
def test_only_a_newline_ends_a_row(tmp_path, read):
    """JSON allows in a string what str.splitlines takes for the end of a line, and people paste it."""
    row = '{{"text":"tea{}and cake","lang":"en","kind":"chatter","gold":[]}}\n'
    path = tmp_path / "gold.jsonl"
    path.write_bytes("\n".join(map(row.format, " \u2028\u2029\x85")).encode())
    assert len(read([path])) == 4


@pytest.fixture(scope="module")
def train():
    return load_rows(sorted(GOLD.glob("train-*.jsonl")))


@pytest.fixture(scope="module")
def held_out():
    return load_rows([GOLD / "eval.jsonl"])


def entities(rows):
    return {spelled_alike(e) for r in rows for g in r.gold for e in g.entities}


def test_there_is_enough_of_it(train, held_out):
    assert len(train) >= 1500
    assert len(held_out) >= 300


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_rows_are_well_formed(split, request):
    rows = request.getfixturevalue(split)
    taxonomy = Taxonomy.load()
    for row in rows:
        assert row.lang in {"zh", "en", "mixed"}, row.text
        assert row.kind in KINDS, row.text
        assert row.domain in DOMAINS, row.text
        assert not (row.kind == "chatter" and row.gold), row.text
        assert row.gold or row.kind in {"chatter", "injection"}, row.text
        for gold in row.gold:
            assert gold.concepts, row.text
            assert all(c in taxonomy.by_id for c in gold.concepts), row.text
            assert all(e and e in row.text for e in gold.entities), row.text
    assert len({r.text for r in rows}) == len(rows)


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_languages_domains_kinds_and_chatter_have_their_share(split, request):
    rows = request.getfixturevalue(split)
    shares = {
        field: {value: n / len(rows) for value, n in Counter(getattr(r, field) for r in rows).items()}
        for field in ("lang", "domain", "kind")
    }
    assert 0.3 < shares["lang"]["zh"] < 0.6
    assert 0.25 < shares["lang"]["en"] < 0.6
    assert shares["lang"]["mixed"] > 0.08
    assert all(share > 0.1 for share in shares["domain"].values())
    assert 0.18 < shares["kind"]["chatter"] < 0.32
    assert set(shares["kind"]) == KINDS


def test_all_tier_one_areas_occur(train):
    taxonomy = Taxonomy.load()
    areas = {taxonomy.tier1(taxonomy.by_id[c]).slug for r in train for g in r.gold for c in g.concepts}
    assert areas == {taxonomy.tier1(c).slug for c in taxonomy.concepts}


def test_no_entity_of_the_evaluation_set_occurs_in_training(train, held_out):
    assert entities(train) & entities(held_out) == set()


def test_no_text_of_the_evaluation_set_is_nearly_in_training(train, held_out):
    known = [shingles(r.text) for r in train]
    holding = defaultdict(set)
    for at, pieces in enumerate(known):
        for piece in pieces:
            holding[piece].add(at)
    for row in held_out:
        pieces = shingles(row.text)
        sharing = set().union(*(holding[piece] for piece in pieces))
        assert max((resemblance(pieces, known[at]) for at in sharing), default=0.0) <= _ALIKE, row.text
