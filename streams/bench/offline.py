"""``LLM.chat`` of vLLM on a job from standard input, timed: run in vLLM's environment, where nothing of ours is.

Prints one JSON object, ``{"seconds": ...}``; the time is that of the second call, after a first one has warmed up.
"""

import json
import os
import sys
import time


def main() -> None:
    """Answer the conversations of the job and say how long it took."""
    job = json.load(sys.stdin)
    os.environ.update({"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"})
    from vllm import LLM, SamplingParams  # noqa: PLC0415 - after its environment
    from vllm.sampling_params import StructuredOutputsParams  # noqa: PLC0415

    engine = LLM(
        model=job["model"],
        dtype="bfloat16",
        max_model_len=2048,
        max_num_seqs=job["max_num_seqs"],
        block_size=32,
        enforce_eager=True,
        structured_outputs_config={"backend": "xgrammar"},
    )
    how = SamplingParams(
        temperature=0, max_tokens=job["max_tokens"], structured_outputs=StructuredOutputsParams(json=job["schema"])
    )
    engine.chat(job["conversations"][: job["max_num_seqs"]], how, use_tqdm=False)
    started = time.perf_counter()
    engine.chat(job["conversations"], how, use_tqdm=False)
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - started}) + "\n")


if __name__ == "__main__":
    main()
