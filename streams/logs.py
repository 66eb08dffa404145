"""Logs: one line an event, JSON or for people, on stderr; Faust's and aiokafka's own go the same way."""

import logging
import sys

import structlog

from .outage_log import OutageFilter

_JOINING = "Thread keepalive is not responding..."
"""What Faust calls an error, and is none, whenever joining the group takes its consumer thread a few seconds."""


def configure_logs(level: str, *, as_json: bool) -> None:
    """Set up structlog and the standard library's logging. stdout stays free for answers."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    handler.addFilter(OutageFilter())
    handler.addFilter(lambda record: not str(record.msg).endswith(_JOINING))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("faust", "mode", "aiokafka", "kafka", "httpx2", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
