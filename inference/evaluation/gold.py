"""Gold rows: texts with the interests that careful readers name in them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from profiles.model import Stance


@dataclass(frozen=True, slots=True)
class GoldInterest:
    """One interest of a text. Any of ``concepts`` (IAB ids, the best first) is accepted, and any of ``entities``."""

    concepts: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    stance: Stance
    entities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GoldRow:
    """A text and its interests; chatter has none. ``kind`` says what makes it hard, ``domain`` where it is from."""

    text: str
    lang: str
    kind: str
    gold: tuple[GoldInterest, ...]
    domain: str = ""


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The rows of a JSONL file, not yet parsed, and the numbers of their lines.

    A newline alone ends a row: str.splitlines would cut it at a U+2028 in its text.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def load_rows(paths: Iterable[Path]) -> list[GoldRow]:
    """The rows of JSONL files. Raises ValueError that names file and line of a row that is none."""
    rows = []
    for path in paths:
        for number, line in lines(path):
            try:
                rows.append(msgspec.json.decode(line, type=GoldRow))
            except msgspec.MsgspecError as error:
                raise ValueError(f"{path}, line {number}: {error}; see inference/data/gold/README.md") from error
    return rows
