"""What a training run is told."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One fine-tuning run. ``data`` empty: the gold set that ships with Penchant.

    ``lora_rank`` above 0 trains adapters of that rank, merged before they are saved, instead of all weights.
    ``dev_share`` of the data is held out, to choose the best epoch and to stop after ``patience`` epochs that are not
    better. With ``max_minutes`` the learning rate falls with the clock too, so that a slow machine ends in time with a
    finished model. ``max_steps`` cuts the run short, for a trial.
    """

    base: Path
    out: Path
    data: tuple[Path, ...] = ()
    epochs: int = 4
    batch_size: int = 16
    learning_rate: float = 1e-4
    seed: int = 7
    device: str = "cpu"
    resume: bool = False
    dev_share: float = 0.1
    patience: int = 2
    lora_rank: int = 0
    typos: float = 0.1
    freeze_embeddings: bool = True
    frozen_layers: int = 0
    max_tokens: int = 256
    max_minutes: float | None = None
    max_steps: int | None = None
    warmup: float = 0.05
    weight_decay: float = 0.01
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with, and say what to change."""
        if not 0 < self.dev_share < 1:
            raise ValueError(f"dev_share must lie between 0 and 1, not {self.dev_share}")
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError("epochs and batch_size must be at least 1")
        if self.patience < 1:
            raise ValueError("patience must be at least 1: an epoch has to end before it can be judged")
