"""A small softmax classifier over a dense vector and hashed features: trained in seconds, a few kilobytes when kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

Array = npt.NDArray[np.float32]


@lru_cache(maxsize=65536)
def _slot(name: str, size: int) -> int:
    return xxh3_64_intdigest(name.encode("utf-8", "surrogatepass")) % size


def hashed(features: Mapping[str, float], size: int) -> Array:
    """Named features as a vector; names that share a slot add up."""
    vector = np.zeros(size, np.float32)
    for name, value in features.items():
        vector[_slot(name, size)] += value
    return vector


@dataclass(frozen=True)
class Softmax:
    """Class probabilities of a vector: ``weights`` is (classes, inputs), ``bias`` (classes)."""

    weights: Array
    bias: Array

    def logits(self, inputs: Array) -> Array:
        """(texts, inputs) to (texts, classes)."""
        logits: Array = inputs @ self.weights.T + self.bias
        return logits

    def probabilities(self, inputs: Array) -> Array:
        """(texts, inputs) to (texts, classes), rows sum to 1."""
        return softmax(self.logits(inputs))


def softmax(logits: Array) -> Array:
    """Rows of logits as rows of probabilities."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Array = powers / powers.sum(axis=-1, keepdims=True)
    return result


def fit_softmax(
    inputs: Array,
    targets: Array,
    *,
    decay: Array | float = 1e-3,
    steps: int = 300,
    rate: float = 0.03,
    importance: Sequence[float] | Array | None = None,
) -> Softmax:
    """Fit by full-batch Adam on cross-entropy; ``targets`` are (texts, classes), ``decay`` weighs the L2 term."""
    weights = np.zeros((targets.shape[1], inputs.shape[1]), np.float32)
    bias = np.zeros(targets.shape[1], np.float32)
    share = np.ones(len(inputs), np.float32) if importance is None else np.asarray(importance, np.float32)
    share = share / share.sum()
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in (weights, bias)]
    for step in range(1, steps + 1):
        error = (softmax(inputs @ weights.T + bias) - targets) * share[:, None]
        gradients = (error.T @ inputs + decay * weights, error.sum(axis=0))
        for parameter, gradient, (first, second) in zip((weights, bias), gradients, moments, strict=True):
            adam(parameter, gradient, first, second, step, rate)
    return Softmax(weights, bias)


def adam(parameter: Array, gradient: Array, first: Array, second: Array, step: int, rate: float) -> None:
    """One step of Adam, in place."""
    first += 0.1 * (gradient - first)
    second += 0.001 * (gradient * gradient - second)
    parameter -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
