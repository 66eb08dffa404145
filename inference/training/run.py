"""A training run: epochs over examples, judged on the development split, the best kept."""

import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inference.serving import CARD

from . import examples, suggestions
from .config import TrainingConfig
from .examples import Example
from .model import Encoded, Model
from .score import score

_STATE = "training-state.pt"
_LOG = "training.jsonl"
_LOWEST = 0.05
_WINDOW = 16
_CLIP = 1.0
_JUDGED_AT_ONCE = 128


def run(config: TrainingConfig) -> dict[str, float]:
    """Train as :func:`inference.training.train` says."""
    torch.manual_seed(config.seed)
    if config.resume and (config.out / CARD).exists() and not (config.out / _STATE).exists():
        raise ValueError(f"{config.out} holds a finished model: train into another folder, or without --resume")
    training, held = examples.split(suggestions.beside(examples.load(config.data)), config.dev_share, config.seed)
    model = Model(
        config.base,
        config.device,
        freeze_embeddings=config.freeze_embeddings,
        frozen_layers=config.frozen_layers,
        lora_rank=config.lora_rank,
    )
    config.out.mkdir(parents=True, exist_ok=True)
    return _Run(config, model, training, held).go()


class _Run:
    def __init__(self, config: TrainingConfig, model: Model, training: list[Example], held: list[Example]) -> None:
        self._config = config
        self._model = model
        self._training = training
        self._held = held
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98), fused=True
        )
        self._epoch = 0
        self._step = 0
        self._seconds = 0.0
        self._best: dict[str, float] = {}
        self._without_gain = 0
        steps = sum(math.ceil(len(self._epoch_examples(e)) / config.batch_size) for e in range(config.epochs))
        self._steps = min(steps, config.max_steps or steps)

    def go(self) -> dict[str, float]:
        if self._config.resume and (self._config.out / _STATE).exists():
            self._restore()
        self._log(event="start", examples=len(self._training), held=len(self._held), steps=self._steps)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns) as progress:
            bar = progress.add_task("training", total=self._steps, completed=self._step)
            while not self._finished():
                self._one_epoch(progress, bar)
                self._judge()
                self._keep_state()
        (self._config.out / _STATE).unlink(missing_ok=True)
        self._log(event="end", **self._best)
        return self._best

    def _finished(self) -> bool:
        return (
            self._epoch >= self._config.epochs or self._progress() >= 1 or self._without_gain >= self._config.patience
        )

    def _progress(self) -> float:
        """How much of the run is done, by steps or, where it has a limit, by the clock, whichever is further."""
        by_steps = self._step / self._steps
        limit = self._config.max_minutes
        return max(by_steps, self._seconds / (limit * 60)) if limit else by_steps

    def _rate(self) -> float:
        """A linear rise, then a cosine down to a twentieth."""
        done = self._progress()
        if done < self._config.warmup:
            return self._config.learning_rate * (done + 1 / self._steps) / (self._config.warmup + 1 / self._steps)
        fall = (1 + math.cos(math.pi * min(1.0, done))) / 2
        return self._config.learning_rate * (_LOWEST + (1 - _LOWEST) * fall)

    def _one_epoch(self, progress: Progress, bar: Any) -> None:
        self._model.network.train()
        started, before = time.monotonic(), self._seconds
        for batch in self._batches(self._epoch_examples(self._epoch)):
            if self._progress() >= 1:
                break
            rate = self._rate()
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            loss = self._model.loss(batch, self._config.label_smoothing)
            loss.backward()
            value = loss.item()
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), _CLIP)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
            self._step += 1
            self._seconds = before + time.monotonic() - started
            self._log(event="step", step=self._step, loss=round(value, 4), rate=rate, seconds=self._seconds)
            progress.update(bar, completed=self._step, description=f"epoch {self._epoch + 1}, loss {value:.3f}")
        self._epoch += 1

    def _epoch_examples(self, epoch: int) -> list[Example]:
        rng = random.Random(f"{self._config.seed}-{epoch}")  # noqa: S311 - an order, not a secret
        made = [examples.with_typos(example, self._config.typos, rng) for example in self._training]
        rng.shuffle(made)
        return made

    def _batches(self, made: Sequence[Example]) -> Iterator[list[Encoded]]:
        """Batches of about one length each, in random order: little is padded, and no order is learnt."""
        size = self._config.batch_size
        encoded = [self._model.encode(example, self._config.max_tokens) for example in made]
        batches = []
        for start in range(0, len(encoded), size * _WINDOW):
            window = sorted(encoded[start : start + size * _WINDOW], key=lambda pair: len(pair[0]) + len(pair[1]))
            batches += [window[at : at + size] for at in range(0, len(window), size)]
        random.Random(f"{self._config.seed}-{self._epoch}-batches").shuffle(batches)  # noqa: S311
        yield from batches

    def _judge(self) -> None:
        """Read the development split as it would be served; keep the weights if they are the best so far."""
        started = time.monotonic()
        network = self._model.snapshot()
        prompts = [self._model.encode(example, self._config.max_tokens)[0] for example in self._held]
        answers = self._model.answers(network, prompts, _JUDGED_AT_ONCE)
        metrics = score(answers, [example.row or {"gold": []} for example in self._held])
        better = not self._best or _merit(metrics) > _merit(self._best)
        self._without_gain = 0 if better else self._without_gain + 1
        if better:
            self._best = metrics
            about = {"base": self._config.base.name, "epoch": self._epoch, "development": metrics}
            self._model.save(network, self._config.out, about)
        self._seconds += time.monotonic() - started
        self._log(event="epoch", epoch=self._epoch, kept=better, seconds=self._seconds, **metrics)

    def _log(self, **line: Any) -> None:
        with (self._config.out / _LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _keep_state(self) -> None:
        state = {
            "network": self._model.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "run": (self._epoch, self._step, self._seconds, self._best, self._without_gain),
        }
        partial = self._config.out / f"{_STATE}.partial"
        torch.save(state, partial)
        partial.replace(self._config.out / _STATE)

    def _restore(self) -> None:
        state = torch.load(self._config.out / _STATE, map_location=self._config.device, weights_only=True)
        self._model.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._epoch, self._step, self._seconds, self._best, self._without_gain = state["run"]


def _merit(metrics: dict[str, float]) -> float:
    return metrics["all"] + metrics["concept"] - metrics["chatter"]
