"""Convert a GGUF file of the gemma3 architecture to a Hugging Face model folder.

The weights are dequantised and saved as bfloat16 safetensors. transformers can load
a GGUF file, but cannot save what it loaded, and leaves out Gemma's <bos> token.

Usage: convert.py SOURCE.gguf TARGET_FOLDER
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from safetensors.torch import save_file
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

ARCHITECTURE = "gemma3"

TOP_LEVEL_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
}

BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}

BLOCK_TENSOR = re.compile(r"blk\.(?P<layer>\d+)\.(?P<part>\w+)\.(?P<kind>weight|bias)")

# Every sixth Gemma 3 layer attends to the whole context, the others to a window.
FULL_ATTENTION_EVERY = 6
QUERY_SCALAR = 256
LOCAL_ROPE_BASE = 10_000.0
END_OF_TURN_ID = 106

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for m in messages %}"
    "{% set role = 'model' if m['role']=='assistant' else 'user' %}"
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


class Metadata:
    """The key-value part of a GGUF file."""

    def __init__(self, reader: GGUFReader) -> None:
        """Read the fields; exit if they describe another architecture."""
        self._fields = reader.fields
        self.architecture: str = self.get("general.architecture")
        if self.architecture != ARCHITECTURE:
            raise SystemExit(f"unsupported architecture: {self.architecture}; this converts {ARCHITECTURE} files")

    def get(self, key: str) -> Any:
        """Return the value under the full key, or None."""
        field = self._fields.get(key)
        return None if field is None else field.contents()

    def model(self, key: str) -> Any:
        """Return the value under a key of the model's own architecture, or None."""
        return self.get(f"{self.architecture}.{key}")


def hf_name(gguf_name: str) -> str:
    """Translate a GGUF tensor name to the one that Hugging Face uses."""
    if gguf_name in TOP_LEVEL_NAMES:
        return TOP_LEVEL_NAMES[gguf_name]
    match = BLOCK_TENSOR.fullmatch(gguf_name)
    if match is None:
        raise SystemExit(f"unknown tensor: {gguf_name}")
    return f"model.layers.{match['layer']}.{BLOCK_NAMES[match['part']]}.{match['kind']}"


def convert_tensors(reader: GGUFReader) -> dict[str, torch.Tensor]:
    """Dequantise every tensor and return them under their Hugging Face names."""
    tensors: dict[str, torch.Tensor] = {}
    for tensor in reader.tensors:
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).astype(np.float32).copy())
        if "norm" in tensor.name:
            weight = weight - 1.0  # Hugging Face's Gemma norms add the one themselves
        tensors[hf_name(tensor.name)] = weight.to(torch.bfloat16).contiguous()
    return tensors


def common_config(metadata: Metadata, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return the config.json entries that any causal model has."""
    return {
        "bos_token_id": metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": metadata.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": metadata.get("tokenizer.ggml.padding_token_id"),
        "hidden_size": metadata.model("embedding_length"),
        "intermediate_size": metadata.model("feed_forward_length"),
        "num_hidden_layers": metadata.model("block_count"),
        "num_attention_heads": metadata.model("attention.head_count"),
        "num_key_value_heads": metadata.model("attention.head_count_kv"),
        "rms_norm_eps": metadata.model("attention.layer_norm_rms_epsilon"),
        "max_position_embeddings": metadata.model("context_length"),
        "vocab_size": tensors["model.embed_tokens.weight"].shape[0],
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    }


def gemma3_attention(layer: int) -> str:
    """Return the kind of attention of the layer with this index, from 0."""
    is_full = (layer + 1) % FULL_ATTENTION_EVERY == 0
    return "full_attention" if is_full else "sliding_attention"


def gemma3_config(metadata: Metadata) -> dict[str, Any]:
    """Return the config.json entries that only Gemma 3 has."""
    layers = range(metadata.model("block_count"))
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "head_dim": metadata.model("attention.key_length"),
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": QUERY_SCALAR,
        "sliding_window": metadata.model("attention.sliding_window"),
        "_sliding_window_pattern": FULL_ATTENTION_EVERY,
        "layer_types": [gemma3_attention(layer) for layer in layers],
        "rope_theta": metadata.model("rope.freq_base"),
        "rope_local_base_freq": LOCAL_ROPE_BASE,
    }


def write_configs(metadata: Metadata, tensors: dict[str, torch.Tensor], target: Path) -> None:
    """Write config.json and generation_config.json."""
    config = gemma3_config(metadata) | common_config(metadata, tensors)
    generation = {
        "bos_token_id": config["bos_token_id"],
        "eos_token_id": [config["eos_token_id"], END_OF_TURN_ID],
        "pad_token_id": config["pad_token_id"],
        "do_sample": False,
    }
    (target / "config.json").write_text(json.dumps(config, indent=1))
    (target / "generation_config.json").write_text(json.dumps(generation))


def write_tokenizer(source: Path, metadata: Metadata, target: Path) -> None:
    """Write the tokenizer, with <bos> and a chat template added."""
    tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    bos_id = metadata.get("tokenizer.ggml.bos_token_id")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", bos_id)]
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(target)


def convert(source: Path, target: Path) -> None:
    """Write the Hugging Face folder `target` from the GGUF file `source`."""
    target.mkdir(parents=True, exist_ok=True)
    reader = GGUFReader(str(source))
    metadata = Metadata(reader)
    tensors = convert_tensors(reader)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    write_configs(metadata, tensors, target)
    write_tokenizer(source, metadata, target)
    print(f"{len(tensors)} tensors written to {target}")  # noqa: T201 - the outcome


def main() -> None:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(description="Convert GGUF to a Hugging Face folder.")
    parser.add_argument("source", type=Path, help="the GGUF file")
    parser.add_argument("target", type=Path, help="the folder to write")
    arguments = parser.parse_args()
    convert(arguments.source, arguments.target)


if __name__ == "__main__":
    main()
