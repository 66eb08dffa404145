"""TLS, passwords and client certificates on real servers: the right ones get in, wrong ones get one clear line."""

import os
import subprocess
import sys
import time

import pytest

from streams.connections import kafka_complaint, redis_client
from streams.demo.stack import await_ready
from streams.settings import load_settings
from streams.topics import ensure_topics
from tests.brokers import apache_kafka_home
from tests.secure import PASSWORD, REDIS_PASSWORD, USER, Authority, SecureKafka, SecureRedis

WRONG = "wrong-sesame-91c4"
CLI = [sys.executable, "-m", "streams.cli"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="module")
def kafka(authority):
    with SecureKafka(apache_kafka_home(), authority) as server:
        yield server


@pytest.fixture(scope="module")
def redis(authority):
    with SecureRedis(authority) as server:
        yield server


def kafka_settings(kafka, authority, **changes):
    return {
        "kafka_bootstrap": kafka.secure,
        "kafka_security": "SASL_SSL",
        "kafka_username": USER,
        "kafka_password": PASSWORD,
        "kafka_ca_file": str(authority.file),
        **changes,
    }


def mutual_settings(kafka, authority):
    certificate, key = authority.issue("worker")
    tls = {"kafka_ca_file": str(authority.file), "kafka_cert_file": str(certificate), "kafka_key_file": str(key)}
    return {"kafka_bootstrap": kafka.mutual, "kafka_security": "SSL", **tls}


def redis_settings(redis, authority, **changes):
    certificate, key = redis.own
    tls = {"redis_ca_file": str(authority.file), "redis_cert_file": str(certificate), "redis_key_file": str(key)}
    return {"redis_url": redis.url(), **tls, **changes}


def environment(*parts):
    ours = {f"PENCHANT_{name.upper()}": value for part in parts for name, value in part.items() if value is not None}
    return {**os.environ, **ours}


def ask(env, *arguments):
    return subprocess.run([*CLI, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("way", ["password", "certificate"])
def test_a_worker_reads_and_writes_through_tls(kafka, redis, authority, way):
    access = kafka_settings(kafka, authority) if way == "password" else mutual_settings(kafka, authority)
    env = environment(access, redis_settings(redis, authority), {"web_port": "0", "consumer_group": way})
    reader = {**env, "PENCHANT_REDIS_URL": redis.url("penchant-reader", "change-me-reader")}
    worker = subprocess.Popen([*CLI, "worker"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        await_ready(worker)
        sent = ask(env, "send", "--user", way, "--text", "I love science fiction")
        assert sent.returncode == 0, sent.stderr
        deadline = time.monotonic() + 30
        while "science-fiction" not in (shown := ask(reader, "top", way)).stdout:
            assert time.monotonic() < deadline, shown.stderr
    finally:
        worker.terminate()
        out, err = worker.communicate(timeout=30)
    assert worker.returncode == 0
    for secret in (PASSWORD, REDIS_PASSWORD, "change-me-reader"):
        assert secret not in out + err + sent.stderr + shown.stderr + ask(env, "config", "--all").stdout


def test_a_wrong_password_for_kafka_ends_the_worker_with_one_line(kafka, redis, authority):
    access = kafka_settings(kafka, authority, kafka_password=WRONG)
    ended = ask(environment(access, redis_settings(redis, authority)), "worker")
    assert (ended.returncode, ended.stdout) == (3, "")
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("penchant:")]
    assert "PENCHANT_KAFKA_PASSWORD" in line
    assert "Traceback" not in ended.stderr
    assert WRONG not in ended.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kafka_password": WRONG, "kafka_sasl_mechanism": "PLAIN"}, "refuses the user or password"),
        ({"kafka_username": "nobody"}, "PENCHANT_KAFKA_USERNAME"),
        ({"kafka_sasl_mechanism": "SCRAM-SHA-256"}, "PENCHANT_KAFKA_SASL_MECHANISM"),
        ({"kafka_ca_file": None}, "set PENCHANT_KAFKA_CA_FILE"),
        ({"kafka_security": "PLAINTEXT"}, "PENCHANT_KAFKA_SECURITY"),
        ({"kafka_security": "SASL_PLAINTEXT"}, "PENCHANT_KAFKA_SECURITY"),
        ({"kafka_bootstrap": "127.0.0.1:1"}, "PENCHANT_KAFKA_BOOTSTRAP"),
    ],
    ids=str,
)
def test_what_is_wrong_with_kafka_is_named(kafka, authority, changes, said):
    complaint = kafka_complaint(load_settings(**kafka_settings(kafka, authority, **changes)))
    assert said in complaint
    assert "\n" not in complaint
    assert PASSWORD not in complaint
    assert WRONG not in complaint


def test_kafka_with_a_strangers_authority_and_without_our_certificate(kafka, authority, stranger):
    untrusting = load_settings(**kafka_settings(kafka, authority, kafka_ca_file=str(stranger.file)))
    assert "set PENCHANT_KAFKA_CA_FILE" in kafka_complaint(untrusting)
    unknown = {**mutual_settings(kafka, authority), "kafka_cert_file": None, "kafka_key_file": None}
    assert "set PENCHANT_KAFKA_CERT_FILE" in kafka_complaint(load_settings(**unknown))
    plain = kafka_settings(kafka, authority, kafka_bootstrap=kafka.bootstrap)
    assert "PENCHANT_KAFKA_SECURITY" in kafka_complaint(load_settings(**plain))
    assert ensure_topics(load_settings(**mutual_settings(kafka, authority)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r, s: {"redis_url": r.url(password=WRONG)}, "refuses the user or password: change PENCHANT_REDIS_URL"),
        (lambda r, s: {"redis_ca_file": str(s.file)}, "set PENCHANT_REDIS_CA_FILE"),
        (lambda r, s: {"redis_ca_file": None}, "set PENCHANT_REDIS_CA_FILE"),
        (lambda r, s: {"redis_cert_file": None, "redis_key_file": None}, "PENCHANT_REDIS_CERT_FILE"),
    ],
    ids=["password", "a stranger's authority", "no authority", "no certificate"],
)
def test_what_is_wrong_with_redis_is_named(redis, authority, stranger, change, said):
    access = redis_settings(redis, authority, **change(redis, stranger))
    ended = ask(environment(access), "top", "u1")
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert said in line
    assert WRONG not in line
    assert REDIS_PASSWORD not in line


def test_redis_without_tls_on_a_tls_port_is_named(redis):
    ended = ask(environment({"redis_url": redis.url().replace("rediss://", "redis://")}), "top", "u1")
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert "rediss://" in line


async def test_what_the_reader_may_not_do_is_named(redis, authority):
    access = redis_settings(redis, authority, redis_url=redis.url("penchant-reader", "change-me-reader"))
    ended = ask(environment(access), "forget", "u1", "--yes")
    assert ended.returncode == 3
    assert "deploy/redis/users.acl" in ended.stderr
    async with redis_client(load_settings(**access)) as client:
        assert await client.ping()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"KAFKA_SECURITY": "SASL_SSL"}, "PENCHANT_KAFKA_USERNAME"),
        ({"KAFKA_CA_FILE": "nowhere.pem"}, "'nowhere.pem' cannot be read"),
        ({"REDIS_CA_FILE": __file__}, "write rediss://"),
        ({"REDIS_URL": f"redis://u:{WRONG}/x@127.0.0.1:6379/0"}, "percent-encode"),
        ({"REDIS_URL": f"http://u:{WRONG}@127.0.0.1/0"}, "is not redis://"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused_before_anything_is_asked(settings, said):
    ended = ask(environment(settings), "top", "u1")
    assert ended.returncode == 2
    assert said in ended.stderr
    assert WRONG not in ended.stderr
