"""Shrink the vocabulary of a Gemma model folder, for speed on a CPU.

Gemma 3 270M spends most of its arithmetic per token on a 262k-row output matrix. The
pruned model keeps special tokens, byte tokens, single characters and the most frequent
merges in ASCII and in Chinese text; any other text falls back to byte tokens. The rows
that stay are unchanged, so prompts made of kept tokens get the same logits for them.

Usage: prune.py SOURCE_FOLDER TARGET_FOLDER [--ascii-merges N] [--cjk-merges N]
"""

import argparse
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

DEFAULT_ASCII_MERGES = 24_000
DEFAULT_CJK_MERGES = 12_000  # more than there are (9,590): keeps all of them
ROW_MULTIPLE = 64  # a round number of rows suits the matrix kernels

EMBEDDING = "model.embed_tokens.weight"
CONFIG_TOKENS = {
    "bos_token_id": "<bos>",
    "eos_token_id": "<eos>",
    "pad_token_id": "<pad>",
}
END_OF_TURN = "<end_of_turn>"
COPIED_FILES = ("tokenizer_config.json", "chat_template.jinja")

# \u2581 is the tokenizer's mark for a space; the rest is typographic punctuation.
ASCII_TEXT = re.compile(r"^[\x20-\x7e\u2581\n\t\u2018-\u201d\u2026\u2013\u2014]+$")
CJK_TEXT = re.compile(r"^[\u4e00-\u9fff\u3000-\u303f\uff00-\uffef\u2018-\u201d\u2026\u2014\u2581]+$")

Merge = tuple[str, str]


@dataclass(frozen=True)
class Selection:
    """The tokens and the merges that stay."""

    tokens: set[str]
    merges: list[Merge]


def is_kept_character(token: str) -> bool:
    """Tell whether a single character stays: ASCII, Chinese, symbols and emoji."""
    if len(token) != 1:
        return False
    is_symbol = "\u2000" <= token < "\u2e80" or token >= "\U0001f300"  # noqa: S105 - a token of text
    return is_symbol or bool(ASCII_TEXT.match(token) or CJK_TEXT.match(token))


def read_merges(tokenizer: dict[str, Any]) -> list[Merge]:
    """Return the merges, most frequent first, from either form of tokenizer.json."""
    pairs = (merge if isinstance(merge, list) else merge.split(" ", 1) for merge in tokenizer["model"]["merges"])
    return [(left, right) for left, right in pairs]


def select(tokenizer: dict[str, Any], ascii_merges: int, cjk_merges: int) -> Selection:
    """Choose what stays: a merge only does if both of its halves do."""
    tokens = {f"<0x{byte:02X}>" for byte in range(256)}
    for added in tokenizer["added_tokens"]:
        if not added["content"].startswith("<unused"):
            tokens.add(added["content"])
    tokens.update(filter(is_kept_character, tokenizer["model"]["vocab"]))

    merges: list[Merge] = []
    ascii_left, cjk_left = ascii_merges, cjk_merges
    for left, right in read_merges(tokenizer):
        if left not in tokens or right not in tokens:
            continue
        merged = left + right
        if merged not in tokens:
            if ASCII_TEXT.match(merged):
                if ascii_left == 0:
                    continue
                ascii_left -= 1
            elif CJK_TEXT.match(merged):
                if cjk_left == 0:
                    continue
                cjk_left -= 1
            else:
                continue
            tokens.add(merged)
        merges.append((left, right))
    return Selection(tokens, merges)


def renumber_post_processor(node: Any, new_ids: dict[str, int]) -> None:
    """Replace the special tokens' ids anywhere in tokenizer.json's post_processor."""
    if isinstance(node, list):
        for child in node:
            renumber_post_processor(child, new_ids)
    elif isinstance(node, dict):
        special_tokens = node.get("special_tokens")
        if isinstance(special_tokens, dict):
            for special in special_tokens.values():
                special["ids"] = [new_ids[token] for token in special["tokens"]]
        for child in node.values():
            renumber_post_processor(child, new_ids)


def prune_tokenizer(tokenizer: dict[str, Any], selection: Selection) -> tuple[dict[str, int], list[int]]:
    """Cut `tokenizer` down in place; return the new ids, and the old ids in order."""
    vocab: dict[str, int] = tokenizer["model"]["vocab"]
    kept = sorted((vocab[token], token) for token in selection.tokens if token in vocab)
    old_ids = [old_id for old_id, _ in kept]
    new_ids = {token: new_id for new_id, (_, token) in enumerate(kept)}

    tokenizer["model"]["vocab"] = new_ids
    tokenizer["model"]["merges"] = [list(merge) for merge in selection.merges]
    tokenizer["added_tokens"] = [
        added | {"id": new_ids[added["content"]]} for added in tokenizer["added_tokens"] if added["content"] in new_ids
    ]
    renumber_post_processor(tokenizer.get("post_processor"), new_ids)
    return new_ids, old_ids


def prune_weights(source: Path, target: Path, old_ids: list[int]) -> int:
    """Write the weights with only the kept embedding rows; return their number."""
    padding = [0] * (-len(old_ids) % ROW_MULTIPLE)
    rows = torch.tensor(old_ids + padding)
    tensors = load_file(source / "model.safetensors")
    tensors[EMBEDDING] = tensors[EMBEDDING][rows].contiguous()
    tensors.pop("lm_head.weight", None)  # tied to the embedding
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return len(rows)


def write_configs(source: Path, target: Path, new_ids: dict[str, int], rows: int) -> None:
    """Write config.json and generation_config.json with the new ids."""
    config = json.loads((source / "config.json").read_text())
    config["vocab_size"] = rows
    for key, token in CONFIG_TOKENS.items():
        config[key] = new_ids[token]
    generation = {
        "bos_token_id": config["bos_token_id"],
        "eos_token_id": [config["eos_token_id"], new_ids[END_OF_TURN]],
        "pad_token_id": config["pad_token_id"],
        "do_sample": False,
    }
    (target / "config.json").write_text(json.dumps(config, indent=1))
    (target / "generation_config.json").write_text(json.dumps(generation))


def prune(source: Path, target: Path, ascii_merges: int, cjk_merges: int) -> None:
    """Write the pruned copy `target` of the model folder `source`."""
    target.mkdir(parents=True, exist_ok=True)
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    before = len(tokenizer["model"]["vocab"])
    selection = select(tokenizer, ascii_merges, cjk_merges)
    new_ids, old_ids = prune_tokenizer(tokenizer, selection)
    text = json.dumps(tokenizer, ensure_ascii=False)
    (target / "tokenizer.json").write_text(text, encoding="utf-8")
    rows = prune_weights(source, target, old_ids)
    write_configs(source, target, new_ids, rows)
    for name in COPIED_FILES:
        shutil.copy(source / name, target / name)
    print(f"vocabulary: {before} -> {len(new_ids)} tokens ({rows} rows) in {target}")  # noqa: T201 - the outcome


def main() -> None:
    """Read the command line and prune."""
    parser = argparse.ArgumentParser(description="Shrink a Gemma model's vocabulary.")
    parser.add_argument("source", type=Path, help="the model folder to read")
    parser.add_argument("target", type=Path, help="the folder to write")
    parser.add_argument("--ascii-merges", type=int, default=DEFAULT_ASCII_MERGES)
    parser.add_argument("--cjk-merges", type=int, default=DEFAULT_CJK_MERGES)
    arguments = parser.parse_args()
    prune(arguments.source, arguments.target, arguments.ascii_merges, arguments.cjk_merges)


if __name__ == "__main__":
    main()
