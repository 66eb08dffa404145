"""Keeps a broker outage from flooding the operator's log: aiokafka reports one about a hundred times a second."""

import logging
import threading
import time
from collections.abc import Callable

import structlog

_log = structlog.get_logger()

REPEAT_SECONDS = 10.0
QUIET_SECONDS = 5.0
_CLIENT_LOGGERS = ("aiokafka", "kafka")
_NETWORK_LOGGERS = ("kafka.net", "kafka.cluster")
"""Loggers of kafka-python that warn of connections only."""

_SIGNS_OF_AN_OUTAGE = (
    "Unable connect to",
    "Unable to request metadata",
    "Unable to update metadata",
    "Failed fetch messages",
    "Failed fetch offsets",
    "Error sending %s to node",
    "Marking the coordinator dead",
    "Group Coordinator Request failed",
    "FindCoordinator Request failed",
    "Heartbeat session expired",
    "Heartbeat send request failed",
    "Cannot send %r to",
    "Could not send",
    "Got error produce response",
)


class Outage:
    """Whether the brokers are away, as far as the Kafka clients' complaints tell.

    ``clock`` gives monotonic seconds. Used from the worker's thread and the consumer's.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._began: float | None = None
        self._complained = 0.0
        self._said = 0.0
        self._complaints = 0

    @property
    def active(self) -> bool:
        """Whether an outage has begun and is not over."""
        return self._began is not None

    def complain(self) -> bool:
        """Note a complaint. True where it should be said: the first one, then one every ten seconds."""
        with self._lock:
            now = self._complained = self._clock()
            self._complaints += 1
            if self._began is None:
                self._began = self._said = now
                return True
            if now - self._said >= REPEAT_SECONDS:
                self._said = now
                return True
            return False

    def check(self) -> None:
        """Say that the outage is over once nobody has complained for five seconds. Cheap: call it often."""
        if self._began is None:
            return
        with self._lock:
            if self._began is None or self._clock() - self._complained < QUIET_SECONDS:
                return
            seconds, complaints = self._complained - self._began, self._complaints
            self._began, self._complaints = None, 0
        _log.warning("kafka_outage_over", lasted_seconds=round(seconds, 1), complaints=complaints)


OUTAGE = Outage()
"""The outage of this process: the log filter tells of it, the consumer ends it."""


class OutageFilter(logging.Filter):
    """A filter for log handlers: of the Kafka clients' complaints it passes the first, then one every ten seconds.

    Other warnings of these clients pass once every ten seconds each; what anybody else logs passes.
    """

    def __init__(self, outage: Outage = OUTAGE, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._outage = outage
        self._clock = clock
        self._said: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is worth the operator's time."""
        if record.levelno < logging.WARNING or record.name.partition(".")[0] not in _CLIENT_LOGGERS:
            return True
        if record.name.startswith(_NETWORK_LOGGERS) or str(record.msg).startswith(_SIGNS_OF_AN_OUTAGE):
            return self._outage.complain()
        place, now = (record.name, record.lineno), self._clock()
        if now - self._said.get(place, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        self._said[place] = now
        return True
