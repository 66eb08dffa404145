"""Tuning of the encoder on gold rows, with torch: what the numpy heads cannot get out of its vectors is put into them.

The network is the encoder with its weights as they are kept, so that what is learnt runs as it is.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from inference.embedded.encoder import FILE, MAX_CHARACTERS
from inference.embedded.fitting import FIRST_SCALARS, Row, Trainer
from inference.embedded.head import STANCES
from inference.embedded.linear import Array
from inference.embedded.pieces import Pieces
from inference.embedded.weights import BLOCK, Numbers, WeightsFile

EPOCHS = 8
_BATCH, _WINDOW, _MAX_TOKENS = 32, 20, 160
_DROPOUT, _CLIP, _WARMUP, _LOWEST = 0.1, 1.0, 0.06, 0.02
_RATES = {"scales": 5e-5, "biases": 2e-3, "concepts": 2e-2, "classes": 2e-3}
_DECAYS = {"scales": 0.0, "biases": 0.0, "concepts": 1e-3, "classes": 1e-2}
_STANCE_SHARE, _CONTRAST_SHARE = 1.5, 0.5
_SHARPNESS = 10.0


class _Matrix(nn.Module):
    """A linear layer of which the scales and the bias can move, and the whole numbers stay."""

    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        scales, whole = file.matrix(f"{name}.w")
        self.bias = nn.Parameter(torch.tensor(file.values(f"{name}.b")))
        outputs = len(self.bias)
        self.scales = nn.Parameter(torch.tensor(scales).view(outputs, -1))
        self.register_buffer("whole", torch.tensor(whole).view(outputs, -1, BLOCK).bfloat16())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        numbers = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        weights = (self.scales.to(numbers)[..., None] * self.whole).flatten(1)
        return functional.linear(inputs, weights, self.bias)


def _norm(file: WeightsFile, name: str) -> nn.LayerNorm:
    norm = nn.LayerNorm(file.shape.width, file.shape.epsilon)
    norm.weight.data = torch.tensor(file.values(f"{name}.w"))
    norm.bias.data = torch.tensor(file.values(f"{name}.b"))
    return norm


class _Layer(nn.Module):
    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        self.heads = file.shape.heads
        self.q, self.k, self.v, self.ao, self.fi, self.fo = (
            _Matrix(file, f"{name}.{part}") for part in ("q", "k", "v", "ao", "fi", "fo")
        )
        self.aln, self.oln = _norm(file, f"{name}.aln"), _norm(file, f"{name}.oln")
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        queries, keys, values = (
            part(states).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        seen = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        states = self.aln(states + self.dropout(self.ao(seen.transpose(1, 2).flatten(2))))
        return self.oln(states + self.dropout(self.fo(functional.gelu(self.fi(states)))))


class Network(nn.Module):
    """The encoder as it is run, but for the rounding of activations there (cosine 0.9999)."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        scales, whole = file.matrix("emb.word")
        width = file.shape.width
        self.register_buffer("word_scales", torch.tensor(scales).view(-1, width // BLOCK, 1))
        self.register_buffer("word_whole", torch.tensor(whole).view(-1, width // BLOCK, BLOCK))
        places = file.values("emb.pos").reshape(-1, width) + file.values("emb.type")[:width]
        self.register_buffer("places", torch.tensor(places))
        self.norm = _norm(file, "emb.ln")
        self.dropout = nn.Dropout(_DROPOUT)
        self.layers = nn.ModuleList(_Layer(file, f"l{n}") for n in range(file.shape.layers))

    def forward(self, ids: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """(texts, tokens) of ids, and which of them are there, to (texts, dimensions) of unit vectors."""
        states = (self.word_scales[ids] * self.word_whole[ids]).flatten(2) + self.places[: ids.shape[1]]
        states = self.dropout(self.norm(states))
        mask = torch.zeros(there.shape, dtype=states.dtype).masked_fill(~there, -1e9)[:, None, None, :]
        for layer in self.layers:
            states = layer(states, mask)
        sums = (states * there[..., None]).sum(1)
        return functional.normalize(sums.float(), dim=-1)

    def numbers(self) -> Numbers:
        """What training has moved, by the name of its tensor in the file."""
        names = {"scales": "w", "weight": "w", "bias": "b"}
        found = {}
        for name, parameter in self.named_parameters():
            *path, what = name.replace("layers.", "l").replace("norm.", "emb.ln.").split(".")
            found[".".join([*path, names[what]])] = parameter.detach().numpy().ravel().astype(np.float16)
        return found


class _Heads(nn.Module):
    """What the vectors are to tell: concept, stance, whether there is an interest, whether there are two opposed."""

    def __init__(self, lineage: Array, names: Array, center: Array) -> None:
        super().__init__()
        concepts, width = names.shape
        for name, array in (("lineage", lineage), ("names", names), ("center", center)):
            self.register_buffer(name, torch.tensor(array))
        self.weights = nn.Parameter(torch.zeros(concepts, width))
        self.bias = nn.Parameter(torch.zeros(concepts))
        self.scalars = nn.Parameter(torch.tensor(FIRST_SCALARS))
        self.stance, self.interest, self.contrast = (nn.Linear(width, n) for n in (len(STANCES), 2, 2))
        for classes in (self.stance, self.interest, self.contrast):
            nn.init.zeros_(classes.weight)
            nn.init.zeros_(classes.bias)

    def loss(self, vectors: torch.Tensor, batch: "_Batch") -> torch.Tensor:
        seen = functional.normalize(vectors - self.center, dim=-1)
        there = batch.interests > 0
        read = seen[there]
        scores = read @ (self.lineage @ self.weights).T + self.bias + self.scalars[0] * (read @ self.names.T)
        chances = (scores + batch.lexicon[there] @ self.scalars[1:]).log_softmax(-1)
        concept = -torch.logsumexp(chances + torch.log(batch.concepts[there] + 1e-30), -1)
        stances = (_SHARPNESS * self.stance(read)).log_softmax(-1)
        stance = -(batch.stances[there] * stances).sum(-1)
        interest = functional.cross_entropy(_SHARPNESS * self.interest(seen), there.long())
        two = functional.cross_entropy(_SHARPNESS * self.contrast(read), (batch.interests[there] > 1).long())
        return concept.mean() + _STANCE_SHARE * stance.mean() + interest + _CONTRAST_SHARE * two


class _Batch:
    """Some rows as tensors: tokens, and what is to be told of them."""

    def __init__(self, ids: Sequence[Sequence[int]], padding: int, *targets: Array) -> None:
        self.ids, self.there = padded(ids, padding)
        self.concepts, self.lexicon, self.stances, self.interests = map(torch.tensor, targets)


def padded(ids: Sequence[Sequence[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts of ids as (texts, tokens), and which tokens are there."""
    longest = max(map(len, ids))
    there = torch.arange(longest) < torch.tensor([len(row) for row in ids])[:, None]
    return torch.tensor([[*row, *[padding] * (longest - len(row))] for row in ids]), there


def tune(
    trainer: Trainer,
    rows: Sequence[Row],
    names: Array,
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    tell: Callable[[int, int, float], None] = lambda _step, _steps, _loss: None,
) -> Numbers:
    """Numbers of the encoder that tell more about rows like these; ``trainer`` has the encoder as it came.

    About 2.5 minutes an epoch of 10,000 rows on two cores with bfloat16. ``tell`` is called after every step.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    file = WeightsFile(FILE.read_bytes())
    vocabulary = file.vocabulary()
    ids = Pieces(vocabulary, _MAX_TOKENS).ids([row["text"][:MAX_CHARACTERS] for row in rows])
    targets, lexicon = trainer.concept_targets(rows), trainer.unseen_lexicon(rows).astype(np.float16)
    stances = trainer.stance_targets(rows)
    interests = np.array([len(row["gold"]) for row in rows])
    center = trainer.encoder.encode([row["text"] for row in rows]).mean(axis=0)
    network, heads = Network(file), _Heads(trainer.lineage, names, center)
    optimizer = _optimizer(network, heads)
    steps = epochs * math.ceil(len(rows) / _BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / steps))
    network.train()
    for step, chosen in enumerate(_batches([len(each) for each in ids], epochs, rng), start=1):
        batch = _Batch(
            [ids[at] for at in chosen],
            vocabulary.padding,
            targets[chosen],
            lexicon[chosen].astype(np.float32),
            stances[chosen],
            interests[chosen],
        )
        with torch.autocast("cpu", torch.bfloat16):
            vectors = network(batch.ids, batch.there)
        loss = heads.loss(vectors.float(), batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimizer.step()
        schedule.step()
        tell(step, steps, loss.item())
    return network.numbers()


def _optimizer(network: Network, heads: _Heads) -> torch.optim.Optimizer:
    moving = dict(network.named_parameters())
    groups = {
        "scales": [p for name, p in moving.items() if name.endswith("scales")],
        "biases": [p for name, p in moving.items() if not name.endswith("scales")],
        "concepts": [heads.weights, heads.bias, heads.scalars],
        "classes": [p for head in (heads.stance, heads.interest, heads.contrast) for p in head.parameters()],
    }
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": _RATES[name], "weight_decay": _DECAYS[name]}
            for name, parameters in groups.items()
        ],
        betas=(0.9, 0.99),
    )


def _rate(done: float) -> float:
    """A linear rise, then a linear fall."""
    return min(1.0, max(done, 1e-3) / _WARMUP) * max(_LOWEST, 1 - done)


def _batches(lengths: Sequence[int], epochs: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Rows of about one length each, in random order: little is padded."""
    for _ in range(epochs):
        order, batches = rng.permutation(len(lengths)).tolist(), []
        for start in range(0, len(order), _BATCH * _WINDOW):
            window = sorted(order[start : start + _BATCH * _WINDOW], key=lengths.__getitem__)
            batches += [window[at : at + _BATCH] for at in range(0, len(window), _BATCH)]
        rng.shuffle(batches)
        yield from batches
