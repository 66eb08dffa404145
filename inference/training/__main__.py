"""``python -m inference.training BASE OUT``: training where only torch is installed, as in vLLM's environment."""

import argparse
import sys
from pathlib import Path

from . import TrainingConfig, train


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(prog="python -m inference.training", description=TrainingConfig.__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--epochs", type=int, default=TrainingConfig(Path(), Path()).epochs)
    parser.add_argument("--max-minutes", type=float)
    parser.add_argument("--max-steps", type=int)
    parser.add_argument("--aliases", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--frozen-layers", type=int, default=0)
    parser.add_argument("--dev-share", type=float, default=0.1)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    metrics = train(
        TrainingConfig(
            base=given.base,
            out=given.out,
            data=tuple(given.data),
            epochs=given.epochs,
            max_minutes=given.max_minutes,
            max_steps=given.max_steps,
            aliases=given.aliases,
            learning_rate=given.learning_rate,
            batch_size=given.batch_size,
            frozen_layers=given.frozen_layers,
            dev_share=given.dev_share,
            resume=given.resume,
        )
    )
    sys.stdout.write(" ".join(f"{name}={value:.3f}" for name, value in metrics.items()) + "\n")


if __name__ == "__main__":
    main()
