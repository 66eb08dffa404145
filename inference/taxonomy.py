"""The concepts that interests are named by: the IAB Content Taxonomy 3.1 with slugs, Chinese names and aliases."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from inference.naming import NameIndex, folded

SENSITIVE_MARK = "SCD"
_SENSITIVE_TIERS = frozenset(
    {"Sensitive Topics", "Politics"}
)  # what a person thinks of politics is nobody else's business
_HEADER_LINES = 2


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
        names: dict[str, Concept] = {}
        own = [(c, name) for c in concepts for name in (c.slug, c.name, c.name_zh)]
        for concept, name in own + [(c, alias) for c in concepts for alias in c.aliases]:
            names.setdefault(folded(name), concept)
        self._names = NameIndex(names)

    @staticmethod
    @cache
    def load() -> "Taxonomy":
        """The taxonomy that ships with Penchant."""
        return Taxonomy(list(_read_concepts()))

    def named(self, word: str) -> Concept | None:
        """The concept that goes by this slug, name or alias, in either language and script."""
        return self._names.get(word)

    def ancestors(self, concept: Concept) -> Iterator[Concept]:
        """The concepts above this one, nearest first."""
        while concept.parent and concept.parent in self.by_id:
            concept = self.by_id[concept.parent]
            yield concept

    def tier1(self, concept: Concept) -> Concept:
        """The top of the concept's branch."""
        return [concept, *self.ancestors(concept)][-1]

    def mentions(self, text: str) -> list[Mention]:
        """The concepts named in a text, from the left, the longest name first; those in one script never overlap."""
        return [Mention(concept, start, end) for concept, start, end in self._names.find(text)]


def _read_concepts() -> Iterator[Concept]:
    data = files("inference").joinpath("data")
    with data.joinpath("concepts.tsv").open(encoding="utf-8") as file:
        ours = {row["id"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    with data.joinpath("iab-content-taxonomy-3.1.tsv").open(encoding="utf-8") as file:
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
