"""A report as tables for people."""

from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.table import Table

from inference.evaluation.report import ASPECTS, Report, Score, Slice

_TITLES = {
    "exact": "concept, exact node",
    "concept": "concept, any accepted",
    "tier1": "concept, tier 1",
    "entity": "entity",
    "stance": "stance",
    "all_three": "all three",
}
_WORST = 12


def render(report: Report) -> RenderableType:
    """Tables of scores, slices, confusions, reliability, and what the reading cost."""
    return Group(
        _scores(report),
        _slices(report),
        *(_confusion(aspect, pairs) for aspect, pairs in report.confusion.items()),
        _reliability(report),
        _facts(report),
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _scores(report: Report) -> Table:
    table = _table(f"{report.reader}: {report.overall.rows} texts", "what", "precision", "recall", "F1")
    for aspect in ASPECTS:
        score = report.overall.scores[aspect]
        table.add_row(_TITLES[aspect], f"{score.precision:.3f}", f"{score.recall:.3f}", f"{score.f1:.3f}")
    return table


def _slices(report: Report) -> Table:
    table = _table("F1 by group", "group", "texts", *(_TITLES[a] for a in ASPECTS), "chatter false positives")
    for group, values in report.slices.items():
        for value, part in values.items():
            table.add_row(f"{group} {value}", str(part.rows), *_cells(part.scores.values()), _chatter(part))
        table.add_section()
    return table


def _cells(scores: Iterable[Score]) -> list[str]:
    return [f"{s.f1:.3f}" if s.gold else "" for s in scores]


def _chatter(part: Slice) -> str:
    return f"{part.chatter_false_positives} of {part.chatter}" if part.chatter else ""


def _confusion(aspect: str, pairs: Mapping[tuple[str, str], int]) -> Table:
    table = _table(f"Most frequent confusions of {aspect.replace('tier1', 'tier 1')}", "gold", "predicted", "count")
    wrong = sorted(((n, g, p) for (g, p), n in pairs.items() if g != p), reverse=True)
    for count, gold, predicted in wrong[:_WORST]:
        table.add_row(gold, predicted, str(count))
    return table


def _reliability(report: Report) -> Table:
    table = _table(
        f"Reliability of confidence (mean error {report.calibration_error:.3f})",
        "confidence",
        "interests",
        "mean",
        "right",
    )
    for part in report.reliability:
        table.add_row(
            f"{part.low:.1f} to {part.high:.1f}", str(part.count), f"{part.confidence:.3f}", f"{part.right:.3f}"
        )
    return table


def _facts(report: Report) -> Table:
    overall = report.overall
    table = _table("Other", "what", "value")
    table.add_row("chatter false positives", f"{_chatter(overall)} ({overall.chatter_rate:.1%})")
    table.add_row("entities not in their text", f"{report.ungrounded} of {report.entities}")
    table.add_row("injections that succeeded", f"{report.injection_successes} of {report.injections}")
    table.add_row("answers that are no valid JSON", f"{report.invalid_answers} of {overall.rows}")
    for name, value in report.latency_seconds.items():
        table.add_row(f"latency {name}", f"{value * 1000:.1f} ms")
    table.add_row("texts per second", f"{report.texts_per_second:.1f}")
    table.add_row("tokens per text", f"{report.tokens_per_text:.1f}")
    if report.cost_per_thousand is not None:
        table.add_row("cost of 1,000 texts", f"{report.cost_per_thousand:.4f}")
    table.add_row("read by", ", ".join(f"{tier} {count}" for tier, count in sorted(report.tiers.items())))
    return table
