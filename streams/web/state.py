"""What the web page needs of the worker: ports, so that tests can hand in their own."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from profiles.reader import AsyncInterestReader


@dataclass(frozen=True, slots=True)
class WebState:
    """``horizons`` maps names to half-lives in seconds, shortest first; ``recent_users`` gives user and epoch seconds.

    ``checks`` asks each dependency by name and raises where it does not answer. ``concept_names`` maps slugs to Chinese
    names. With a ``token``, page and API ask for it; metrics and health do not. ``clock`` gives epoch seconds.
    """

    reader: AsyncInterestReader
    horizons: Mapping[str, float]
    recent_users: Callable[[], Sequence[tuple[str, float]]]
    checks: Mapping[str, Callable[[], Awaitable[None]]]
    exposition: Callable[[], bytes]
    concept_names: Mapping[str, str] = field(default_factory=dict)
    token: str | None = None
    requests_per_second: float = 20.0
    max_streams: int = 50
    clock: Callable[[], float] = time.time
