"""Lines over time as SVG, written by hand: no plotting library for one picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 720, 150, 56, 48, 44


@dataclass(frozen=True)
class Panel:
    """One line: its name, its places on the axis that all share, and its values, on a logarithmic scale if asked."""

    name: str
    at: Sequence[float]
    values: Sequence[float]
    logarithmic: bool = False

    def height(self, value: float) -> float:
        """Where a value lies between the foot (0) and the head (1) of the panel."""
        if self.logarithmic:
            low, high = self.bounds()
            return (math.log10(max(value, low)) - math.log10(low)) / (math.log10(high) - math.log10(low))
        return value / self.bounds()[1]

    def bounds(self) -> tuple[float, float]:
        """The values at the foot and at the head."""
        if not self.logarithmic:
            return 0.0, max(self.values, default=1.0) * 1.15 or 1.0
        above = [value for value in self.values if value > 0] or [1.0]
        low = math.floor(math.log10(min(above)))
        return 10.0**low, 10.0 ** max(math.ceil(math.log10(max(above))), low + 1)

    def marks(self) -> list[float]:
        """The values that are written beside the panel."""
        low, high = self.bounds()
        if self.logarithmic:
            return [10.0**n for n in range(round(math.log10(low)), round(math.log10(high)) + 1)]
        step = 10 ** math.floor(math.log10(high / 2))
        return [n * step for n in range(int(high / step) + 1) if n % max(1, int(high / step) // 4) == 0]


def plot(path: Path, title: str, panels: Sequence[Panel], shaded: Sequence[tuple[float, float]]) -> None:
    """Write the panels under each other, with the shaded spans of the axis."""
    longest = max((place for panel in panels for place in panel.at), default=1.0) or 1.0
    across = (_WIDTH - _LEFT - 16) / longest
    height = _TOP + len(panels) * (_HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}">',
        '<g font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="22" font-weight="bold">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        foot = _TOP + number * (_HEIGHT + _GAP) + _HEIGHT
        parts += [
            f'<rect x="{_LEFT + begin * across:.1f}" y="{foot - _HEIGHT}" height="{_HEIGHT}" fill="#f4dcd2" '
            f'width="{max((min(end, longest) - begin) * across, 1):.1f}"/>'
            for begin, end in shaded
            if begin < longest
        ]
        parts.append(f'<text x="{_LEFT}" y="{foot - _HEIGHT - 6}">{escape(panel.name)}</text>')
        for mark in panel.marks():
            level = foot - panel.height(mark) * _HEIGHT
            parts.append(
                f'<line x1="{_LEFT}" x2="{_WIDTH - 16}" y1="{level:.1f}" y2="{level:.1f}" stroke="#dddddd"/>'
                f'<text x="{_LEFT - 6}" y="{level + 4:.1f}" text-anchor="end">{mark:g}</text>'
            )
        line = " ".join(
            f"{_LEFT + place * across:.1f},{foot - panel.height(value) * _HEIGHT:.1f}"
            for place, value in zip(panel.at, panel.values, strict=True)
        )
        parts.append(f'<polyline points="{line}" fill="none" stroke="#2f6f9f" stroke-width="1.5"/>')
        parts += [
            f'<text x="{_LEFT + longest * share * across:.1f}" y="{foot + 16}" text-anchor="middle">'
            f"{longest * share:.3g}</text>"
            for share in (0, 0.25, 0.5, 0.75, 1)
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(parts) + "</g></svg>\n")
