"""The contracts as files: JSON Schema, an AsyncAPI document, a page to read and examples, all generated."""

import json
from pathlib import Path

from .contract_pages import asyncapi, page
from .examples import EXAMPLES
from .schemas import CONTRACTS, Schema, json_schema


def files() -> dict[str, str]:
    """Every contract file, by name."""
    made = {f"{contract.topic}.schema.json": _dump(json_schema(contract)) for contract in CONTRACTS}
    made["asyncapi.json"] = _dump(asyncapi())
    made["events.md"] = page()
    made["examples.jsonl"] = "".join(
        json.dumps(example, ensure_ascii=False) + "\n"
        for contract in CONTRACTS
        if contract.consumed
        for example in EXAMPLES[contract.topic]
    )
    return made


def write(folder: Path) -> None:
    """Write every contract file into the folder, which is created where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (folder / name).write_text(content, encoding="utf-8")


def drift(folder: Path) -> list[str]:
    """Names of the files in the folder that are missing or differ from the code."""
    return sorted(name for name, content in files().items() if _read(folder / name) != content)


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _dump(document: Schema) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
