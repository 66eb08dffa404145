"""The worker's web side: metrics, health, and the live page."""

from .app import create_web
from .server import AddressTakenError, serve
from .state import WebState

__all__ = ["AddressTakenError", "WebState", "create_web", "serve"]
