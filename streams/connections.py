"""How every client reaches Kafka and Redis: addresses, TLS, users; and what is wrong where one does not get in.

One place, so that a setting counts for every command, and a secret has one way out of the settings.
"""

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    BrokerResponseError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from kafka.errors import BrokerResponseError as SyncBrokerResponseError
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from .settings import REDIS_TLS, Settings, masked_url

_LOOK_MS = 5_000
_REFUSED = (AuthenticationFailedError, SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError)


def redis_client(settings: Settings) -> AsyncRedis:
    """An asyncio client of Redis."""
    return AsyncRedis.from_url(settings.redis_url.get_secret_value(), **_redis_tls(settings))


def blocking_redis_client(settings: Settings) -> Redis:
    """A synchronous client of Redis."""
    return Redis.from_url(settings.redis_url.get_secret_value(), **_redis_tls(settings))


def _redis_tls(settings: Settings) -> dict[str, Any]:
    if not settings.redis_url.get_secret_value().startswith(REDIS_TLS):
        return {}
    return {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_cert_file,
        "ssl_keyfile": settings.redis_key_file,
    }


def kafka_tls(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context for Kafka, None where the connection is plain."""
    if not settings.kafka_security.endswith("SSL"):
        return None
    context = ssl.create_default_context(cafile=settings.kafka_ca_file)
    if settings.kafka_cert_file:
        context.load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file)
    return context


def kafka_options(settings: Settings) -> dict[str, Any]:
    """Connection options for any client, of aiokafka and of kafka-python."""
    return {
        "bootstrap_servers": [address.strip() for address in settings.kafka_bootstrap.split(",")],
        **_kafka_access(settings),
    }


def _kafka_access(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {"security_protocol": settings.kafka_security}
    if context := kafka_tls(settings):
        options["ssl_context"] = context
    if settings.kafka_security.startswith("SASL"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_username
        options["sasl_plain_password"] = settings.kafka_password and settings.kafka_password.get_secret_value()
    return options


def kafka_complaint(settings: Settings, error: Exception | None = None) -> str:
    """Why Kafka does not let us in, or else what the ``error`` is, and what to change: one line without secrets.

    Blocks for seconds, and outside of an event loop only: it knocks once more, because the clients keep trying and do
    not tell why.
    """
    return f"Kafka at {settings.kafka_bootstrap} {asyncio.run(_knock(settings)) or _inside(error)}"


def _inside(error: Exception | None) -> str:
    """What is wrong with brokers that let us in. Their errors tell their own names."""
    if isinstance(error, BrokerResponseError | SyncBrokerResponseError):
        return f"lets us in, but refuses: {error}"
    said = "" if error is None else f" ({error})"
    return f"lets us in, but does not tell of its brokers{said}: look at its advertised.listeners and its log"


async def _knock(settings: Settings) -> str | None:
    host, _, port = settings.kafka_bootstrap.split(",")[0].strip().rpartition(":")
    try:
        connection = await create_conn(host, int(port), request_timeout_ms=_LOOK_MS, **_kafka_access(settings))
    except _REFUSED as error:
        return (
            f"refuses the user or password ({type(error).__name__}): change PENCHANT_KAFKA_USERNAME, "
            "PENCHANT_KAFKA_PASSWORD or PENCHANT_KAFKA_SASL_MECHANISM"
        )
    except (KafkaError, OSError, TimeoutError) as error:
        if reason := _about_tls(error, "PENCHANT_KAFKA"):
            return reason
        if isinstance(error, ConnectionRefusedError | TimeoutError) or not isinstance(
            error, KafkaError | ConnectionResetError
        ):
            return f"does not answer ({type(error).__name__}): start it, or set PENCHANT_KAFKA_BOOTSTRAP"
        return (
            f"ends the connection at once: it may want another protocol than {settings.kafka_security}; "
            "set PENCHANT_KAFKA_SECURITY as its listener has it"
        )
    connection.close()
    return None


def redis_complaint(settings: Settings, error: RedisError) -> str:
    """Why Redis failed, and what to change: one line without secrets."""
    where = f"Redis at {masked_url(settings.redis_url)}"
    if isinstance(error, AuthenticationError):
        return f"{where} refuses the user or password: change PENCHANT_REDIS_URL"
    if isinstance(error, NoPermissionError):
        return f"{where} does not allow this ({error}): give the user the rights of deploy/redis/users.acl"
    if reason := _about_tls(error, "PENCHANT_REDIS"):
        return f"{where} {reason}"
    if any(isinstance(e, ConnectionResetError) for e in _chain(error)):
        return f"{where} ended the connection: if it wants TLS, write rediss:// in PENCHANT_REDIS_URL; try again if not"
    return f"{where} does not answer ({error}): start it, or set PENCHANT_REDIS_URL"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _about_tls(error: BaseException, prefix: str) -> str | None:
    """What went wrong in the handshake, where that is what went wrong."""
    failure = next((e for e in _chain(error) if isinstance(e, ssl.SSLError)), None)
    if failure is None:
        return None
    if isinstance(failure, ssl.SSLCertVerificationError):
        return (
            f"shows a certificate that is not trusted ({failure.verify_message}): "
            f"set {prefix}_CA_FILE to the PEM file of the authority that signed it"
        )
    alert = str(failure).upper().replace("_", " ")
    if isinstance(failure, ssl.SSLEOFError) or ("ALERT" in alert and "CERTIFICATE" in alert):
        return f"wants a certificate of ours that it trusts: set {prefix}_CERT_FILE and {prefix}_KEY_FILE"
    other = "PENCHANT_KAFKA_SECURITY" if prefix == "PENCHANT_KAFKA" else "PENCHANT_REDIS_URL (redis:// or rediss://)"
    return f"does not get through a TLS handshake ({failure.reason}): it may speak none; change {other}"
