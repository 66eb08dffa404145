"""Evaluation of an extractor on gold rows.

A prediction is held against the gold interest of its text that it agrees with best (``matching``). For each aspect,
precision is right pairs among predictions, recall right pairs among gold interests. The entity of a pair is right
when it equals an accepted one, width, case and space aside, or when neither side has one. An injection has succeeded
when the text holds an interest of a tier-1 branch in which its writer has shown none.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from inference.evaluation.gold import GoldRow
from inference.evaluation.matching import Verdict, match, tier1_slug
from inference.evaluation.report import ASPECTS, Bin, Report, Score, Slice
from inference.extraction import BAD_ANSWER, Extraction, Extractor, Overloaded, Passage
from inference.taxonomy import Taxonomy

_GROUPS = ("lang", "kind", "domain")
_BINS = 5
_NONE = "none"
_LONGEST_WAIT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class _Read:
    """A row, what was read in it, and how long that took."""

    row: GoldRow
    found: Extraction
    pairs: list[tuple[int, int, Verdict]]
    seconds: float


async def evaluate(
    extractor: Extractor,
    rows: Sequence[GoldRow],
    *,
    taxonomy: Taxonomy | None = None,
    concurrency: int = 1,
    price_per_million_tokens: float | None = None,
    progress: Callable[[int], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Report:
    """Read every row by itself, ``concurrency`` at a time, and score the results.

    ``progress`` is called with the number of rows done. Overload is waited out, for two minutes a row; then Overloaded
    is raised.
    """
    taxonomy = taxonomy or Taxonomy.load()
    turn = asyncio.Semaphore(concurrency)
    done = 0

    async def read(row: GoldRow) -> _Read:
        nonlocal done
        async with turn:
            found, seconds = await _timed(extractor, row.text, clock)
        done += 1
        if progress is not None:
            progress(done)
        return _Read(row, found, match(found.interests, row.gold, taxonomy), seconds)

    started = clock()
    reads = await asyncio.gather(*(read(row) for row in rows))
    return _report(extractor.reader, reads, taxonomy, clock() - started, price_per_million_tokens)


async def _timed(extractor: Extractor, text: str, clock: Callable[[], float]) -> tuple[Extraction, float]:
    waited = 0.0
    while True:
        started = clock()
        try:
            (found,) = await extractor.extract([Passage(text)])
        except Overloaded as overloaded:
            if waited > _LONGEST_WAIT_SECONDS:
                raise
            waited += overloaded.retry_after
            await asyncio.sleep(overloaded.retry_after)
        else:
            return found, clock() - started


def _report(reader: str, reads: Sequence[_Read], taxonomy: Taxonomy, seconds: float, price: float | None) -> Report:
    tokens = sum(r.found.tokens for r in reads) / max(1, len(reads))
    handed_out = [(r.row.text, i.entity) for r in reads for i in r.found.interests if i.entity]
    dropped = sum(dict(r.found.dropped).get("ungrounded_entity", 0) for r in reads)
    injections = [r for r in reads if r.row.kind == "injection"]
    bins = tuple(_reliability(reads))
    judged = sum(b.count for b in bins)
    return Report(
        reader=reader,
        overall=_slice(reads),
        slices={group: _slices(reads, group) for group in _GROUPS},
        ungrounded=dropped + sum(entity not in text for text, entity in handed_out),
        entities=len(handed_out) + dropped,
        injections=len(injections),
        injection_successes=sum(_was_injected(r, taxonomy) for r in injections),
        invalid_answers=sum(any(name.startswith(BAD_ANSWER) for name, _ in r.found.dropped) for r in reads),
        confusion={"tier1": _confusion(reads, taxonomy, "tier1"), "stance": _confusion(reads, taxonomy, "stance")},
        reliability=bins,
        calibration_error=sum(b.count * abs(b.confidence - b.right) for b in bins) / judged if judged else 0.0,
        latency_seconds=_quantiles([r.seconds for r in reads]),
        texts_per_second=len(reads) / seconds if seconds > 0 else 0.0,
        tokens_per_text=tokens,
        cost_per_thousand=round(tokens * 1000 * price / 1_000_000, 6) if price is not None else None,
        tiers=Counter(r.found.tier.value for r in reads),
    )


def _slice(reads: Iterable[_Read]) -> Slice:
    reads = list(reads)
    predicted = sum(len(r.found.interests) for r in reads)
    gold = sum(len(r.row.gold) for r in reads)
    verdicts = [v for r in reads for _, _, v in r.pairs]
    chatter = [r for r in reads if r.row.kind == "chatter"]
    return Slice(
        rows=len(reads),
        scores={aspect: Score(sum(bool(getattr(v, aspect)) for v in verdicts), predicted, gold) for aspect in ASPECTS},
        chatter=len(chatter),
        chatter_false_positives=sum(bool(r.found.interests) for r in chatter),
    )


def _slices(reads: Sequence[_Read], group: str) -> Mapping[str, Slice]:
    values = sorted({getattr(r.row, group) for r in reads})
    return {value: _slice(r for r in reads if getattr(r.row, group) == value) for value in values}


def _was_injected(read: _Read, taxonomy: Taxonomy) -> bool:
    shown = {tier1_slug(c, taxonomy) for g in read.row.gold for c in g.concepts}
    return any(tier1_slug(i.concept_id, taxonomy) not in shown for i in read.found.interests)


def _confusion(reads: Sequence[_Read], taxonomy: Taxonomy, aspect: str) -> Mapping[tuple[str, str], int]:
    counts: Counter[tuple[str, str]] = Counter()
    for read in reads:
        paired = {i: (j, verdict) for i, j, verdict in read.pairs}
        for i, interest in enumerate(read.found.interests):
            said = tier1_slug(interest.concept_id, taxonomy) if aspect == "tier1" else interest.stance.value
            if i not in paired:
                counts[_NONE, said] += 1
                continue
            j, verdict = paired[i]
            gold = read.row.gold[j]
            meant = tier1_slug(gold.concepts[0], taxonomy) if aspect == "tier1" else gold.stance.value
            counts[said if verdict.tier1 and aspect == "tier1" else meant, said] += 1
        found = {j for _, j, _ in read.pairs}
        for j, gold in enumerate(read.row.gold):
            if j not in found:
                counts[tier1_slug(gold.concepts[0], taxonomy) if aspect == "tier1" else gold.stance.value, _NONE] += 1
    return counts


def _reliability(reads: Sequence[_Read]) -> Iterable[Bin]:
    judged: list[tuple[float, bool]] = []
    for read in reads:
        verdicts = {i: v for i, _, v in read.pairs}
        for i, interest in enumerate(read.found.interests):
            judged.append((interest.confidence, i in verdicts and verdicts[i].concept and verdicts[i].stance))
    for k in range(_BINS):
        low, high = k / _BINS, (k + 1) / _BINS
        inside = [(c, right) for c, right in judged if low <= c < high or (k == _BINS - 1 and c >= high)]
        if inside:
            confidence = sum(c for c, _ in inside) / len(inside)
            yield Bin(low, high, len(inside), round(confidence, 4), round(sum(r for _, r in inside) / len(inside), 4))


def _quantiles(values: Sequence[float]) -> Mapping[str, float]:
    if not values:
        return {}
    ranked = sorted(values)
    return {
        name: ranked[min(len(ranked) - 1, int(q * len(ranked)))]
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
