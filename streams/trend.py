"""Whether an interest is of the last hours or of long standing: one rule for the terminal and the page. Pure."""

_RISING, _FADING = 0.5, 0.05


def trend(weight: float, lasting: float) -> str:
    """Rising where most of what lasts (> 0) is of the shorter horizon, fading where nearly none is, else steady."""
    share = weight / lasting
    return "rising" if share > _RISING else "fading" if share < _FADING else "steady"
