"""Texts cut into the pieces of words that the encoder knows, as multilingual-e5 wants them for a query."""

from collections.abc import Sequence

from sentencepiece import SentencePieceProcessor
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from inference.embedded.weights import Vocabulary

_PREFIX = "query: "
_UNIGRAM = 1


class Pieces:
    """The ids of texts; ``longest`` is the most that one may have, the two at its ends included."""

    def __init__(self, vocabulary: Vocabulary, longest: int) -> None:
        self._ends = vocabulary.begin, vocabulary.end
        self._longest = longest
        self._replacements = vocabulary.replacements
        self._model = SentencePieceProcessor(model_proto=_unigram_model(vocabulary))

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text between those of the ends. What comes after the longest text is not read."""
        begin, end = self._ends
        written = [(_PREFIX + text).translate(self._replacements) for text in texts]
        return [[begin, *ids[: self._longest - 2], end] for ids in self._model.encode(written)]


def _unigram_model(vocabulary: Vocabulary) -> bytes:
    """The vocabulary in the form that SentencePiece loads."""
    model, kinds = ModelProto(), ModelProto.SentencePiece
    special = dict.fromkeys((vocabulary.begin, vocabulary.end, vocabulary.padding), kinds.CONTROL)
    special[vocabulary.unknown] = kinds.UNKNOWN
    for place, (piece, score) in enumerate(vocabulary.pieces):
        model.pieces.add(piece=piece, score=score, type=special.get(place, kinds.NORMAL))
    model.trainer_spec.model_type = _UNIGRAM
    model.trainer_spec.unk_id, model.trainer_spec.pad_id = vocabulary.unknown, vocabulary.padding
    model.trainer_spec.bos_id, model.trainer_spec.eos_id = vocabulary.begin, vocabulary.end
    model.normalizer_spec.name = "identity"  # its replacements are made before
    written: bytes = model.SerializeToString()
    return written
