"""Where the stack keeps its programs, data, logs and addresses; all of it ignored."""

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Places:
    """One stack's folder."""

    root: Path

    @property
    def programs(self) -> Path:
        """Downloaded and built programs; kept when the stack goes down."""
        return self.root / "programs"

    @property
    def logs(self) -> Path:
        """One log per service."""
        return self.root / "logs"

    def data(self, service: str) -> Path:
        """A service's own files."""
        return self.root / "data" / service

    @property
    def addresses_file(self) -> Path:
        """Ports and credentials; readable by its owner only."""
        return self.root / "stack.json"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the services listen and what opens them; made once per folder."""

    postgres_port: int
    s3_port: int
    trino_port: int
    s3_server: str
    user: str
    password: str

    def environment(self) -> dict[str, str]:
        """What configs/stack.yaml reads, as environment variables."""
        return {
            "EXP_CATALOG_URI": f"postgresql+pg8000://{self.user}:{self.password}"
            f"@{HOST}:{self.postgres_port}/iceberg",
            "EXP_S3_ENDPOINT": f"http://{HOST}:{self.s3_port}",
            "EXP_TRINO_HOST": HOST,
            "EXP_TRINO_PORT": str(self.trino_port),
            "AWS_ACCESS_KEY_ID": self.user,
            "AWS_SECRET_ACCESS_KEY": self.password,
            "AWS_REGION": "us-east-1",
        }


def read_addresses(places: Places) -> Addresses | None:
    """The addresses of a stack that was started before."""
    if not places.addresses_file.is_file():
        return None
    return Addresses(**json.loads(places.addresses_file.read_text("utf-8")))


def choose_addresses(places: Places, s3_server: str) -> Addresses:
    """The folder's addresses, made when there are none; another server is written."""
    known = read_addresses(places)
    if known is not None and known.s3_server == s3_server:
        return known
    ports = free_ports(3)
    chosen = Addresses(
        *ports, s3_server=s3_server, user="exp", password=secrets.token_hex(16)
    )
    places.root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(
        places.addresses_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600
    )
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        json.dump(asdict(chosen), opened, indent=1)
    return chosen


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody listens on at this moment."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
