"""``LLM.chat`` of vLLM on a job from standard input, timed: run in vLLM's environment, where nothing of ours is.

Prints one JSON object, ``{"seconds": ...}``; the time is that of the second call, after a first one has warmed up.
"""

import json
import sys
import time

from vllm import LLM, SamplingParams
from vllm.sampling_params import StructuredOutputsParams


def main() -> None:
    """Answer the conversations of the job and say how long it took."""
    job = json.load(sys.stdin)
    engine = LLM(model=job["model"], **job["engine"])
    how = SamplingParams(
        temperature=0, max_tokens=job["max_tokens"], structured_outputs=StructuredOutputsParams(json=job["schema"])
    )
    engine.chat(job["conversations"][: job["warm_up"]], how, use_tqdm=False)
    started = time.perf_counter()
    engine.chat(job["conversations"], how, use_tqdm=False)
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - started}) + "\n")


if __name__ == "__main__":
    main()
