"""The model being trained: loading, encoding of examples, loss on answers, greedy answers, and what is saved.

The chat template that is saved with it is our own: a line of text, then the answer. Turn markers and role names cost
tokens and tell a model with one task nothing; a text cannot leave its line (see ``inference.prompt.enclosed``).
"""

import copy
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference import prompt
from inference.serving import CARD

from .examples import Example

_TEMPLATE = (
    "{{ bos_token or '' }}{% for m in messages %}{{ m['content'] | trim }}"
    "{{ eos_token if m['role'] == 'assistant' else '\n' }}{% endfor %}"
)
_IGNORED = -100
_ANSWER_TOKENS = 64
_COPIED = ("generation_config.json",)

Encoded = tuple[list[int], list[int]]


class Model:
    """A causal model and its tokenizer, weights in float32, arithmetic in bfloat16."""

    def __init__(
        self, folder: Path, device: str, *, freeze_embeddings: bool, frozen_layers: int = 0, lora_rank: int = 0
    ) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.tokenizer.chat_template = _TEMPLATE
        self.network: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device)
        self.device = device
        self._folder = folder
        if freeze_embeddings:
            self.network.get_input_embeddings().weight.requires_grad_(requires_grad=False)
        for layer in self.network.base_model.layers[:frozen_layers]:
            layer.requires_grad_(requires_grad=False)
        self._core = self.network.base_model
        self._adapted = lora_rank > 0
        if self._adapted:
            self.network = _with_adapters(self.network, lora_rank)
        self._pad = self.tokenizer.pad_token_id
        if self._pad is None:
            self._pad = self.tokenizer.eos_token_id or 0

    def parameters(self) -> list[Any]:
        """What is trained."""
        return [p for p in self.network.parameters() if p.requires_grad]

    def encode(self, example: Example, limit: int) -> Encoded:
        """Prompt and answer as token ids; a prompt that is too long loses its end, as it would when served."""
        asked = prompt.messages(example.text, suggestion=example.suggestion)
        ids: list[int] = self._ids(asked, answering=True)
        whole = self._ids([*asked, {"role": "assistant", "content": example.answer}], answering=False)
        answer = whole[len(ids) :] if whole[: len(ids)] == ids else self._tokens(example.answer)
        answer = self._closed(answer)
        return ids[: max(1, limit - len(answer))], answer

    def _ids(self, messages: list[dict[str, str]], *, answering: bool) -> list[int]:
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answering)
        return self._tokens(text)

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _closed(self, answer: list[int]) -> list[int]:
        """The answer up to its end mark: templates may put white space after it."""
        ends = self._ends()
        for at in range(len(answer) - 1, -1, -1):
            if answer[at] in ends:
                return answer[: at + 1]
        return [*answer, next(iter(ends))]

    def _ends(self) -> set[int]:
        config = self.network.generation_config.eos_token_id
        ends = set(config if isinstance(config, list) else [config]) if config is not None else set()
        if self.tokenizer.eos_token_id is not None:
            ends.add(self.tokenizer.eos_token_id)
        return ends

    def loss(self, batch: Sequence[Encoded], smoothing: float) -> Any:
        """Mean cross-entropy of the answers' tokens. Only they go through the output matrix, the dearest part."""
        longest = max(len(asked) + len(answer) for asked, answer in batch)
        ids = torch.full((len(batch), longest), self._pad)
        labels = torch.full((len(batch), longest), _IGNORED)
        for row, (asked, answer) in enumerate(batch):
            end = len(asked) + len(answer)
            ids[row, :end] = torch.tensor([*asked, *answer])
            labels[row, len(asked) - 1 : end - 1] = torch.tensor(answer)
        ids, labels = ids.to(self.device), labels.to(self.device)
        with torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16):
            states = self._core(input_ids=ids, use_cache=False).last_hidden_state
            chosen = labels != _IGNORED
            logits = self.network.get_output_embeddings()(states[chosen])
        return torch.nn.functional.cross_entropy(logits.float(), labels[chosen], label_smoothing=smoothing)

    def snapshot(self) -> Any:
        """A bfloat16 copy of the network: what is judged and saved is what is served."""
        network = copy.deepcopy(self.network)
        return (network.merge_and_unload() if self._adapted else network).to(torch.bfloat16).eval()

    def answers(self, network: Any, prompts: Sequence[list[int]], batch_size: int) -> list[str]:
        """Greedy answers, in the order of the prompts."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        texts = [""] * len(prompts)
        for start in range(0, len(order), batch_size):
            chunk = order[start : start + batch_size]
            longest = max(len(prompts[i]) for i in chunk)
            ids = torch.tensor([[self._pad] * (longest - len(prompts[i])) + prompts[i] for i in chunk])
            mask = torch.tensor([[0] * (longest - len(prompts[i])) + [1] * len(prompts[i]) for i in chunk])
            out = network.generate(  # which keeps no gradients
                input_ids=ids.to(self.device),
                attention_mask=mask.to(self.device),
                max_new_tokens=_ANSWER_TOKENS,
                do_sample=False,
                pad_token_id=self._pad,
                eos_token_id=sorted(self._ends()),
            )
            for i, tokens in zip(chunk, out[:, longest:], strict=True):
                texts[i] = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return texts

    def save(self, network: Any, out: Path, about: dict[str, Any]) -> None:
        """Write weights, tokenizer and the card that names prompt and schema version."""
        out.mkdir(parents=True, exist_ok=True)
        network.save_pretrained(out)
        self.tokenizer.save_pretrained(out)
        for name in _COPIED:
            if (self._folder / name).exists():
                shutil.copy(self._folder / name, out / name)
        card = {"prompt": prompt.PROMPT_VERSION, "schema": prompt.SCHEMA_VERSION, "tag": prompt.tag(), **about}
        (out / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _with_adapters(network: Any, rank: int) -> Any:
    """The network with low-rank adapters (LoRA) in all its linear layers, the only weights that are trained."""
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - only needed here

    adapters = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(network, adapters)
