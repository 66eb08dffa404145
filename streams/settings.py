"""Every setting of Penchant: environment variables named ``PENCHANT_...``, the same for every command."""

import math
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from profiles.policy import MICROSECONDS, Horizon, Policy

PREFIX = "PENCHANT_"
REDIS_TLS = "rediss://"
_PASSWORD_IN_QUERY = re.compile(r"(?<=password=)[^&]*", re.IGNORECASE)
Commas = Annotated[tuple[str, ...], NoDecode]
_UNITS = {"h": 3600, "d": 86_400}


class UnknownSettingError(ValueError):
    """An environment variable begins with PENCHANT_ but is no setting: most likely a typing error."""


class Settings(BaseSettings):
    """The effective settings. Durations are seconds, sizes are bytes unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port, comma separated")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Kafka security protocol"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism where the security protocol is SASL"
    )
    kafka_username: str | None = Field(None, validate_default=True, description="SASL user")
    kafka_password: SecretStr | None = Field(None, validate_default=True, description="SASL password")
    kafka_ca_file: str | None = Field(None, description="PEM file of the authority that signed the brokers")
    kafka_cert_file: str | None = Field(None, description="PEM file of our certificate, where the brokers ask for one")
    kafka_key_file: str | None = Field(None, description="PEM file of its key, where that is not in the same file")
    consumer_group: str = Field("penchant", description="Kafka consumer group; one group is one copy of the profiles")
    partitions: int = Field(8, ge=1, description="partitions of topics that the worker creates")
    replication: int = Field(-1, description="replicas of topics that the worker creates; -1 leaves it to the broker")
    retention_days: float = Field(30.0, gt=0, description="retention of event topics that the worker creates")
    dead_letter_days: float = Field(
        14.0, gt=0, description="retention of the dead-letter topic, if the worker makes it"
    )
    profile_update_days: float = Field(
        3.0, gt=0, description="retention of the profile-updates topic, if the worker makes it"
    )
    max_poll_records: int = Field(2000, ge=1, description="most records in one record batch")
    max_in_flight: int = Field(32, ge=1, description="record batches in flight at the same time, per topic")
    max_value_bytes: int = Field(1_048_576, ge=1024, description="largest event; a larger one is dead-lettered")
    max_future_skew_seconds: float = Field(
        300.0, ge=0, description="how far an event may lie after its Kafka timestamp before it is clamped to that"
    )

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="Redis >= 7 or Valkey >= 7.2; rediss:// for TLS"
    )
    redis_ca_file: str | None = Field(None, description="PEM file of the authority that signed the Redis server")
    redis_cert_file: str | None = Field(None, description="PEM file of our certificate, where Redis asks for one")
    redis_key_file: str | None = Field(None, description="PEM file of its key, where that is not in the same file")
    horizons: str = Field(
        "now=6h,lasting=30d", description="time scales, name=half-life with h or d, one to four, shortest first"
    )
    max_interests: int = Field(500, ge=10, description="most interests in one set of a profile")
    evidence_per_interest: int = Field(5, ge=0, description="pieces of evidence kept for each interest")
    evidence_days: float | None = Field(
        None, gt=0, description="how long evidence is kept; not set: as long as an event counts on the longest horizon"
    )
    profile_grace_days: float = Field(
        7.0, ge=0, description="how long a profile is kept after its last interest would be forgotten"
    )
    duplicate_window: int = Field(4096, ge=0, description="events of a user among which a repeated id is recognised")
    max_events_per_user_hour: int = Field(
        5000,
        ge=0,
        le=999_999,
        description="a user's events of a topic that count, per hour of Kafka time; 0: all, as an import needs",
    )
    max_events_per_item_hour: int = Field(
        100, ge=0, le=999_999, description="beyond a user's first so many an hour, this many of each item count; 0: all"
    )
    profile_updates: bool = Field(default=True, description="publish what changed to the profile-updates topic")
    replay_keep_days: float = Field(
        7.0, gt=0, description="how long profiles from before a replay's switch are kept, for --switch-back"
    )
    item_wait_seconds: float = Field(5.0, ge=0, description="how long a click waits for its item to become known")

    extraction: Literal["embedded", "vllm"] = Field("embedded", description="who reads texts")
    vllm_urls: Commas = Field(
        (), validate_default=True, description="base URLs of vLLM servers, comma separated, e.g. http://host:8000/v1"
    )
    vllm_model: str = Field("penchant", description="the model name that the vLLM servers serve")
    vllm_token: SecretStr | None = Field(None, min_length=1, description="bearer token of the vLLM servers")
    vllm_timeout_seconds: float = Field(30.0, gt=0, description="limit of one request to vLLM")
    vllm_concurrency: int = Field(64, ge=1, description="requests in flight to each vLLM server")
    vllm_when_down: Literal["wait", "estimate"] = Field(
        "wait", description="without vLLM: let the lag grow, or estimate with the embedded tier"
    )
    allow_sensitive: bool = Field(
        default=False, description="keep interests in health, religion, politics and other sensitive concepts"
    )
    ledger_days: float = Field(30.0, gt=0, description="how long the reading of a text is kept for reuse")

    web_host: str = Field("127.0.0.1", description="address the web page and /metrics listen on")
    web_port: int = Field(6066, ge=0, le=65535, description="port of the web page and /metrics; 0 takes a free one")
    web_token: SecretStr | None = Field(None, min_length=1, description="token the live page and its API ask for")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level that is logged")
    log_json: bool = Field(default=True, description="logs as JSON lines; false: for people")

    @field_validator("vllm_urls", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("vllm_urls")
    @classmethod
    def _check_vllm_urls(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not value and info.data.get("extraction") == "vllm":
            msg = "is missing: PENCHANT_EXTRACTION=vllm needs a base URL, for example http://host:8000/v1"
            raise ValueError(msg)
        if wrong := [url for url in value if not url.startswith(("http://", "https://"))]:
            msg = f"'{wrong[0]}' is not http://HOST:PORT/v1"
            raise ValueError(msg)
        return value

    @field_validator("horizons")
    @classmethod
    def _check_horizons(cls, value: str) -> str:
        Policy(horizons=parse_horizons(value))
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(value.get_secret_value())
            bad = parts.port == 0 or parts.scheme not in {"redis", "rediss", "unix"}
        except ValueError:  # its text would show a part of the password
            bad = True
        if bad:
            msg = "is not redis://USER:PASSWORD@HOST:PORT/0 (percent-encode what is special in a password)"
            raise ValueError(msg)
        return value

    @field_validator("kafka_username", "kafka_password")
    @classmethod
    def _check_sasl(cls, value: object, info: ValidationInfo) -> object:
        security = str(info.data.get("kafka_security"))
        if value is None and security.startswith("SASL"):
            msg = f"PENCHANT_KAFKA_SECURITY={security} needs it"
            raise ValueError(msg)
        return value

    @field_validator(
        *("kafka_ca_file", "kafka_cert_file", "kafka_key_file", "redis_ca_file", "redis_cert_file", "redis_key_file")
    )
    @classmethod
    def _check_tls_file(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        try:
            Path(value).open().close()
        except OSError as error:
            msg = f"'{value}' cannot be read ({error.strerror})"
            raise ValueError(msg) from None
        url = info.data.get("redis_url")
        if str(info.field_name).startswith("redis") and url and not url.get_secret_value().startswith(REDIS_TLS):
            msg = "PENCHANT_REDIS_URL does not ask for TLS: write rediss://"
            raise ValueError(msg)
        return value

    @field_validator("kafka_bootstrap")
    @classmethod
    def _check_bootstrap(cls, value: str) -> str:
        for address in value.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not port.isdigit():
                msg = f"'{address}' is not host:port"
                raise ValueError(msg)
        return value


def parse_horizons(text: str) -> tuple[Horizon, ...]:
    """``now=6h,lasting=30d`` as horizons. Raises ValueError that names the part it cannot take."""
    horizons: list[Horizon] = []
    for part in text.split(","):
        name, _, length = part.strip().partition("=")
        try:
            seconds = float(length[:-1]) * _UNITS[length[-1:]]
        except (KeyError, ValueError):
            raise ValueError(f"'{part}' is not NAME=HALF-LIFE such as now=6h or lasting=30d") from None
        if not name.isidentifier() or not 1 <= seconds < math.inf:
            raise ValueError(f"'{part}' needs a plain name and a half-life of a second or more")
        if name in {h.name for h in horizons}:
            raise ValueError(f"'{part}' repeats a name: give each time scale its own")
        horizons.append(Horizon(name, round(seconds * MICROSECONDS)))
    if any(longer.half_life <= shorter.half_life for shorter, longer in pairwise(horizons)):
        raise ValueError("half-lives have to grow: name the shortest first")
    return tuple(horizons)


def load_settings(**overrides: object) -> Settings:
    """The settings from the environment; ``overrides`` win.

    Raises UnknownSettingError for a PENCHANT_ variable that is no setting, pydantic's ValidationError for a bad value.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name.upper() not in known)
    if unknown:
        msg = f"{', '.join(unknown)}: no such setting; 'penchant config' lists them all"
        raise UnknownSettingError(msg)
    return Settings(**overrides)  # type: ignore[arg-type]


def masked_url(url: SecretStr) -> str:
    """A URL without passwords, for people and logs."""
    parts = urlsplit(url.get_secret_value())
    query = _PASSWORD_IN_QUERY.sub("********", parts.query)
    if parts.password is None:
        return urlunsplit(parts._replace(query=query))
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:********@{host}", query=query))
