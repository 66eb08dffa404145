"""Two bar charts as SVG, written by hand: no plotting library for two pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

_WIDTH, _ROW, _LEFT, _RIGHT = 640, 26, 130, 90
_COLOURS = ("#2f6f9f", "#9fb8c8")


def throughput(result: Mapping[str, Any], path: Path) -> None:
    """Events a second of every contestant, at the first batch size."""
    medians: Mapping[str, Mapping[str, float]] = next(iter(result["medians"].values()))
    rows = [(name, figures["throughput"], f"{figures['throughput']:,.0f}/s") for name, figures in medians.items()]
    _write(path, "Clicks from Kafka to Redis, events a second", sorted(rows, key=lambda row: -row[1]))


def freshness(result: Mapping[str, Any], path: Path) -> None:
    """Median and p99 from click to profile, by load."""
    rows = [
        (f"{load} load, {q}", figures[q], f"{figures[q]:,.0f} ms")
        for load, figures in result["loads"].items()
        for q in ("p50", "p99")
    ]
    _write(path, "From a click to its profile, by share of capacity", rows)


def _write(path: Path, title: str, rows: Sequence[tuple[str, float, str]]) -> None:
    longest = max(value for _, value, _ in rows)
    height = _ROW * (len(rows) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}">',
        '<g font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="22" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, value, label) in enumerate(rows):
        top = _ROW * (number + 1) + 12
        width = max(1.0, (_WIDTH - _LEFT - _RIGHT) * value / longest)
        parts.append(
            f'<text x="{_LEFT - 8}" y="{top + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="18" fill="{_COLOURS[number % 2]}"/>'
            f'<text x="{_LEFT + width + 6:.1f}" y="{top + 14}">{escape(label)}</text>'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(parts) + "</g></svg>\n")
