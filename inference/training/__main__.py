"""``python -m inference.training BASE OUT``: training where only torch is installed, as in vLLM's environment."""

import argparse
import sys
from dataclasses import MISSING, fields
from pathlib import Path

from . import TrainingConfig, train

_WITHOUT_DEFAULT = {"max_minutes": float, "max_steps": int}


def main() -> None:
    """Read the arguments, one for each field of TrainingConfig, and train."""
    parser = argparse.ArgumentParser(prog="python -m inference.training", description=TrainingConfig.__doc__)
    for field in fields(TrainingConfig):
        option = "--" + field.name.replace("_", "-")
        if field.default is MISSING:
            parser.add_argument(field.name, type=Path)
        elif field.name == "data":
            parser.add_argument(option, type=Path, nargs="*", default=())
        elif isinstance(field.default, bool):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=field.default)
        else:
            kind = _WITHOUT_DEFAULT.get(field.name) or type(field.default)
            parser.add_argument(option, type=kind, default=field.default)
    given = vars(parser.parse_args())
    metrics = train(TrainingConfig(**given | {"data": tuple(given["data"])}))
    sys.stdout.write(" ".join(f"{name}={value:.3f}" for name, value in metrics.items()) + "\n")


if __name__ == "__main__":
    main()
