"""The concepts that interests are named by: the IAB Content Taxonomy 3.1 with slugs, Chinese names and aliases."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from inference.preparation.shadow import shadow

SENSITIVE_MARK = "SCD"
_SENSITIVE_TIERS = frozenset({"Sensitive Topics", "Politics"})  # what a person thinks of politics is nobody else's business
_HEADER_LINES = 2
_WORD = re.compile(r"[a-z0-9]+(?:[''’][a-z]+)?")
_LONGEST_NAME_WORDS = 6


@dataclass(frozen=True, slots=True)
class Concept:
    """One node. ``path`` holds the English names from tier 1 down; ``sensitive`` marks data of protected kinds."""

    id: str
    slug: str
    name: str
    name_zh: str
    path: tuple[str, ...]
    parent: str | None
    sensitive: bool
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mention:
    """A concept named in a text, at character offsets ``start`` to ``end`` (exclusive)."""

    concept: Concept
    start: int
    end: int


class Taxonomy:
    """All concepts, by id, by slug, and by the words that name them.

    Names are compared in lower case, simplified Chinese and half width, a trailing plural s aside. Where two concepts
    share a name, a slug wins over a name, a name over an alias, and the earlier node over the later one.
    """

    def __init__(self, concepts: Sequence[Concept]) -> None:
        self.concepts = tuple(concepts)
        self.by_id: Mapping[str, Concept] = {c.id: c for c in concepts}
        self.by_slug: Mapping[str, Concept] = {c.slug: c for c in concepts}
        self._by_name: dict[str, Concept] = {}
        self._cjk_lengths: dict[str, tuple[int, ...]] = {}
        own = [(c, name) for c in concepts for name in (c.slug, c.name, c.name_zh)]
        for concept, name in own + [(c, alias) for c in concepts for alias in c.aliases]:
            if name:
                self._by_name.setdefault(_folded(name), concept)
        lengths: dict[str, set[int]] = {}
        for name in self._by_name:
            if len(name) > 1 and not name.isascii():
                lengths.setdefault(name[0], set()).add(len(name))
        self._cjk_lengths = {first: tuple(sorted(sizes, reverse=True)) for first, sizes in lengths.items()}

    @staticmethod
    @cache
    def load() -> "Taxonomy":
        """The taxonomy that ships with Penchant."""
        return Taxonomy(list(_read_concepts()))

    def named(self, word: str) -> Concept | None:
        """The concept that goes by this slug, name or alias, in either language and script."""
        name = _folded(word)
        return self._by_name.get(name) or self._by_name.get(name.removesuffix("s"))

    def ancestors(self, concept: Concept) -> Iterator[Concept]:
        """The concepts above this one, nearest first."""
        while concept.parent and concept.parent in self.by_id:
            concept = self.by_id[concept.parent]
            yield concept

    def tier1(self, concept: Concept) -> Concept:
        """The top of the concept's branch."""
        return [concept, *self.ancestors(concept)][-1]

    def mentions(self, text: str) -> list[Mention]:
        """The concepts named in a text, from the left, the longest name first; names never overlap."""
        folded = shadow(text)
        return sorted([*self._latin(folded), *self._cjk(folded)], key=lambda m: m.start)

    def _latin(self, folded: str) -> Iterator[Mention]:
        words = list(_WORD.finditer(folded))
        at = 0
        while at < len(words):
            for size in range(min(_LONGEST_NAME_WORDS, len(words) - at), 0, -1):
                first, last = words[at], words[at + size - 1]
                if len(last.group()) == 1 and size == 1:
                    continue
                concept = self.named(_dashed(folded[first.start() : last.end()]))
                if concept is not None:
                    yield Mention(concept, first.start(), last.end())
                    at += size - 1
                    break
            at += 1

    def _cjk(self, folded: str) -> Iterator[Mention]:
        at = 0
        while at < len(folded):
            for size in self._cjk_lengths.get(folded[at], ()):
                concept = self._by_name.get(folded[at : at + size])
                if concept is not None:
                    yield Mention(concept, at, at + size)
                    at += size - 1
                    break
            at += 1


def _dashed(words: str) -> str:
    return " ".join(words.split())


def _folded(name: str) -> str:
    """One spelling for a name: shadow letters, hyphens and slashes as spaces."""
    folded = shadow(name.strip())
    return " ".join(re.sub(r"[-/&]", " ", folded).split()) if folded.isascii() else folded


def _read_concepts() -> Iterator[Concept]:
    data = files("inference").joinpath("data")
    with data.joinpath("concepts.tsv").open(encoding="utf-8", newline="") as file:
        ours = {row["id"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    with data.joinpath("iab-content-taxonomy-3.1.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[_HEADER_LINES:]
    nodes = {row[0]: row for row in rows}
    for node_id, (_, parent, name, *tiers) in nodes.items():
        row = ours[node_id]
        *path, mark = tiers
        yield Concept(
            id=node_id,
            slug=row["slug"],
            name=name,
            name_zh=row["name_zh"],
            path=tuple(tier for tier in path if tier),
            parent=parent or None,
            sensitive=mark == SENSITIVE_MARK or path[0] in _SENSITIVE_TIERS or _inherits(nodes, parent),
            aliases=tuple(_aliases(row)),
        )


def _aliases(row: Mapping[str, str]) -> Iterator[str]:
    for column in ("aliases_en", "aliases_zh"):
        yield from filter(None, (alias.strip() for alias in (row[column] or "").split("|")))


def _inherits(nodes: Mapping[str, list[str]], node_id: str) -> bool:
    while node_id in nodes:
        if nodes[node_id][-1] == SENSITIVE_MARK:
            return True
        node_id = nodes[node_id][1]
    return False
