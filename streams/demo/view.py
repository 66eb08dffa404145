"""The demo in the terminal: each user's interests as bars that move."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from profiles.model import RankedInterest, Stance
from profiles.reader import InterestReader
from streams.trend import trend

_ROWS, _BAR = 7, 16
_ARROWS = {"rising": "↑", "fading": "↓", "steady": "→"}


@dataclass(slots=True)
class Seen:
    """What the view knows of a user beside the profile: the last event, and how long it took to show."""

    last_event: str = ""
    milliseconds: float | None = None


class View:
    """Draws profiles. ``forward`` seconds move the clock that they are weighed by."""

    def __init__(self, reader: InterestReader, footer: Sequence[str]) -> None:
        self._reader = reader
        self._footer = footer
        self.users: dict[str, Seen] = {}
        self.forward = 0.0

    def render(self) -> RenderableType:
        """All users, with the addresses below."""
        at = time.time() + self.forward
        panels = [
            Panel(self._table(user, at), title=user, subtitle=_subtitle(seen)) for user, seen in self.users.items()
        ]
        lines = [*self._footer]
        if self.forward:
            lines.insert(0, f"clock moved forward by {self.forward / 3600:.0f} h")
        return Group(Columns(panels, equal=True, expand=True), Text("\n".join(lines), style="dim"))

    def _table(self, user: str, at: float) -> Table:
        table = Table.grid(padding=(0, 1))
        lasting = {r.interest: r.weight for r in self._reader.top(user, 200, "lasting", at)}
        likes = self._reader.top(user, _ROWS, "now", at)
        strongest = max((r.weight for r in likes), default=0.0) or 1.0
        for r in likes:
            table.add_row(
                r.interest, Text(_bar(r.weight / strongest), style="green"), f"{r.weight:.2f}", _trend(r, lasting)
            )
        for r in self._reader.top(user, 2, "now", at, Stance.DISLIKE):
            table.add_row(f"not {r.interest}", Text(_bar(r.weight / strongest), style="red"), f"{r.weight:.2f}", "")
        return table


def _bar(share: float) -> str:
    return "█" * max(1, round(_BAR * min(share, 1.0)))


def _trend(now: RankedInterest, lasting: dict[str, float]) -> str:
    return _ARROWS[trend(now.weight, max(lasting.get(now.interest, now.weight), 1e-12))]


def _subtitle(seen: Seen) -> str:
    took = "" if seen.milliseconds is None else f"  ·  {seen.milliseconds:.0f} ms"
    return f"{seen.last_event[:44]}{took}"
