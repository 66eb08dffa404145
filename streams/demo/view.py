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
from streams.instants import rfc3339
from streams.trend import trend

_ROWS, _BAR = 7, 16
_ARROWS = {"rising": "↑", "fading": "↓", "steady": "→"}


@dataclass(slots=True)
class Seen:
    """What the view knows of a user beside the profile: the last event, and how long it took to show."""

    last_event: str = ""
    milliseconds: float | None = None


class View:
    """Draws profiles. They are weighed at the moment ``at``, or else now; ``forward`` seconds move that clock."""

    def __init__(self, reader: InterestReader, horizons: Sequence[str], footer: Sequence[str]) -> None:
        self._reader = reader
        self._shown, self._compared = horizons[0], horizons[-1]
        self._footer = footer
        self.users: dict[str, Seen] = {}
        self.at: float | None = None
        self.forward = 0.0

    def render(self) -> RenderableType:
        """All users, with the addresses below."""
        at = (time.time() if self.at is None else self.at) + self.forward
        panels = [
            Panel(self._table(user, at), title=user, subtitle=_subtitle(seen)) for user, seen in self.users.items()
        ]
        lines = [*self._footer]
        if self.forward:
            lines.insert(0, f"clock moved forward by {self.forward / 3600:g} h")
        if self.at is not None:
            lines.insert(0, f"as of the newest event, {rfc3339(round(self.at * 1_000_000))}")
        return Group(Columns(panels, equal=True, expand=True), Text("\n".join(lines), style="dim"))

    def _table(self, user: str, at: float) -> Table:
        table = Table.grid(padding=(0, 1))
        lasting = {r.interest: r.weight for r in self._reader.top(user, 200, self._compared, at)}
        likes = self._reader.top(user, _ROWS, self._shown, at)
        strongest = max((r.weight for r in likes), default=0.0) or 1.0
        for r in likes:
            table.add_row(
                r.interest, Text(_bar(r.weight / strongest), style="green"), f"{r.weight:.2f}", _trend(r, lasting)
            )
        for r in self._reader.top(user, 2, self._shown, at, Stance.DISLIKE):
            table.add_row(f"not {r.interest}", Text(_bar(r.weight / strongest), style="red"), f"{r.weight:.2f}", "")
        return table


def _bar(share: float) -> str:
    return "█" * max(1, round(_BAR * min(share, 1.0)))


def _trend(now: RankedInterest, lasting: dict[str, float]) -> str:
    return _ARROWS[trend(now.weight, max(lasting.get(now.interest, now.weight), 1e-12))]


def _subtitle(seen: Seen) -> str:
    took = "" if seen.milliseconds is None else f"  ·  {seen.milliseconds:.0f} ms"
    return f"{seen.last_event[:44]}{took}"
