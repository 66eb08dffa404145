"""What the embedded reader suggests about each example, as it will where the model is served."""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from xxhash import xxh3_64_hexdigest

from inference.embedded import EmbeddedExtractor
from inference.extraction import Passage, Suggestion

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
        json.dumps([_key(text), s.interests, s.likely], ensure_ascii=False, separators=(",", ":"))
        for text, s in suggestions.items()
    ]
    path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0))


@cache
def _shipped() -> Mapping[str, Suggestion]:
    content = gzip.decompress(files("inference").joinpath("data", "gold", FILE).read_bytes())
    rows = map(json.loads, content.decode().splitlines())
    return {key: Suggestion(tuple(map(tuple, interests)), tuple(likely)) for key, interests, likely in rows}


def _key(text: str) -> str:
    return xxh3_64_hexdigest(text.encode())
