"""The embedded tier: reads texts in this process, without GPU or network."""

from .extractor import EmbeddedExtractor

__all__ = ["EmbeddedExtractor"]
