"""How well an extractor reads: measured on gold rows, the same way for every tier."""

from .evaluate import evaluate
from .gold import GoldInterest, GoldRow, load_rows
from .render import render
from .report import Report, Score

__all__ = ["GoldInterest", "GoldRow", "Report", "Score", "evaluate", "load_rows", "render"]
