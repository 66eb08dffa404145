"""Words that speak for a concept: its names, everyday words of its field, and well-known names in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from inference.naming import NameIndex, folded
from inference.preparation import shadow
from inference.taxonomy import Taxonomy


class Source(StrEnum):
    """Where a word is from: the taxonomy itself, everyday language, or the names of brands, people and works."""

    TAXONOMY = "taxonomy"
    WORD = "word"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Hit:
    """A word of the lexicon in a text: its spelling, the concepts it speaks for by source, and where it stands."""

    word: str
    concepts: Mapping[int, Source]
    start: int
    end: int


class Lexicon:
    """All words, over the concepts of a taxonomy by their place in it."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        index = {c.slug: i for i, c in enumerate(taxonomy.concepts)}
        words: dict[str, dict[int, Source]] = {}
        for slug, names, everyday in lexicon_rows():
            for name in names:
                words.setdefault(folded(name), {})[index[slug]] = Source.NAME
            for word in everyday:
                words.setdefault(folded(word), {})[index[slug]] = Source.WORD
        for concept in taxonomy.concepts:
            for name in (concept.slug, concept.name, concept.name_zh, *concept.aliases):
                words.setdefault(folded(name), {})[index[concept.slug]] = Source.TAXONOMY
        self._words = NameIndex({word: (word, concepts) for word, concepts in words.items()})

    def hits(self, text: str) -> list[Hit]:
        """The words in a text, from the left. A Latin name must be written as a name: with a capital somewhere."""
        found = []
        for (word, concepts), start, end in self._words.find(text):
            written = text[start:end]
            if written.isascii() and written == written.lower():
                concepts = {c: source for c, source in concepts.items() if source is not Source.NAME}  # noqa: PLW2901
            if concepts:
                found.append(Hit(word, concepts, start, end))
        return found


@cache
def lexicon_rows() -> tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]:
    """The table of words: slug of the concept, well-known names in its field, everyday words of it."""
    table = files("inference").joinpath("data", "words.tsv").read_text("utf-8").splitlines()[1:]
    rows = (line.split("\t") for line in table)
    return tuple((slug, _parts(names), _parts(words)) for slug, names, words in rows)


def _parts(cell: str) -> tuple[str, ...]:
    return tuple(part for part in cell.split("|") if part and shadow(part).strip())
