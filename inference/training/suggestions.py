"""What the embedded reader suggests about each example, as it will where the model is served."""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from itertools import starmap
from pathlib import Path

from xxhash import xxh3_64_hexdigest

from inference.embedded import EmbeddedExtractor
from inference.extraction import Interest, Passage, Suggestion
from inference.taxonomy import Taxonomy
from profiles.model import Stance

from .examples import Example

FILE = "suggestions.jsonl.gz"
_AT_ONCE = 512


def beside(examples: Sequence[Example]) -> list[Example]:
    """The examples with suggestions by a reader that has not seen them.

    One that has would be right about every one, and teach the model to believe it. For the gold set that ships
    :mod:`.crossfit` has made them; texts of your own are new to the shipped reader.
    """
    made = dict(_shipped())
    new = [e.text for e in examples if _key(e.text) not in made]
    made |= {_key(text): suggestion for text, suggestion in read(EmbeddedExtractor(), new).items()}
    return [replace(e, suggestion=made[_key(e.text)]) for e in examples]


def read(reader: EmbeddedExtractor, texts: Sequence[str]) -> dict[str, Suggestion]:
    """What the reader suggests about each text, a few hundred at a time: what it says of one is some 40 KB."""
    parts = (texts[at : at + _AT_ONCE] for at in range(0, len(texts), _AT_ONCE))
    return {
        text: suggestion
        for part in parts
        for text, suggestion in zip(part, reader.suggestions([Passage(text) for text in part]), strict=True)
    }


def write(suggestions: Mapping[str, Suggestion], path: Path) -> None:
    """Keep suggestions by the hashes of their texts, a line each."""
    lines = [
        json.dumps(
            [_key(text), [(i.entity or "", i.concept, i.stance) for i in s.interests], s.likely],
            ensure_ascii=False,
            separators=(",", ":"),
        )
        for text, s in suggestions.items()
    ]
    path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0))


@cache
def _shipped() -> Mapping[str, Suggestion]:
    content = gzip.decompress(files("inference").joinpath("data", "gold", FILE).read_bytes())
    rows = map(json.loads, content.decode().splitlines())
    return {key: Suggestion(tuple(starmap(_interest, read)), tuple(likely)) for key, read, likely in rows}


def _interest(entity: str, concept: str, stance: str) -> Interest:
    """An interest as a model is shown it: without the confidence, which is not kept."""
    return Interest(concept, Taxonomy.load().by_slug[concept].id, Stance(stance), 0.0, entity or None)


def _key(text: str) -> str:
    return xxh3_64_hexdigest(text.encode())
