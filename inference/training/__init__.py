"""Fine-tuning a small causal model to read interests. torch is imported when a run starts, not before."""

from .config import TrainingConfig

__all__ = ["TrainingConfig", "train"]


def train(config: TrainingConfig) -> dict[str, float]:
    """Fine-tune ``config.base`` into ``config.out``, a folder that vLLM serves; returns the best epoch's dev metrics.

    Raises ImportError where torch or transformers is not installed (``pip install 'penchant[train]'``), and
    ValueError for data that cannot be trained on.
    """
    from .run import run  # noqa: PLC0415 - torch takes seconds to import, and may be absent

    return run(config)
