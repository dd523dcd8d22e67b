"""Nessie, an Iceberg REST server that commits several tables as one; in memory.

It is no part of the stack that is kept: a test, or a person who tries it, starts one and
loses what it holds.

    python -m infra.stack.nessie --folder .stack
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .places import HOST, Addresses, Places, free_ports, read_addresses
from .processes import StackError, run, say
from .trino import find_java

SERVICE = "nessie"
VERSION = "0.99.0"
COORDINATES = f"org.projectnessie.nessie:nessie-quarkus:{VERSION}:jar:runner"
_SECONDS = 120
_OPTIONS = "nessie.catalog.service.s3.default-options"


def fetch(places: Places) -> Path:
    """The server's jar, fetched on first use."""
    jar = places.programs / f"nessie-quarkus-{VERSION}-runner.jar"
    if not jar.is_file():
        say(f"fetching Nessie {VERSION} (0.25 GB, once)")
        places.programs.mkdir(parents=True, exist_ok=True)
        goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
        where = f"-DoutputDirectory={places.programs}"
        run(["mvn", "-q", "-B", goal, f"-Dartifact={COORDINATES}", where])
    return jar


@contextmanager
def serving(places: Places, store: Addresses, location: str) -> Iterator[str]:
    """The address of a server whose one warehouse lies at a location of the store.

    Raises:
        StackError: it cannot be fetched or does not start.
    """
    jar = fetch(places)
    port, management = free_ports(2)
    settings = {
        "quarkus.http.host": HOST,
        "quarkus.http.port": port,
        "quarkus.management.host": HOST,
        "quarkus.management.port": management,
        "quarkus.http.access-log.enabled": "false",
        "nessie.catalog.default-warehouse": "warehouse",
        "nessie.catalog.warehouses.warehouse.location": location,
        f"{_OPTIONS}.endpoint": f"http://{HOST}:{store.s3_port}",
        f"{_OPTIONS}.path-style-access": "true",
        f"{_OPTIONS}.region": "us-east-1",
        f"{_OPTIONS}.request-signing-enabled": "false",
        f"{_OPTIONS}.access-key": "urn:nessie-secret:quarkus:store",
    }
    command = [str(find_java()), "-Xmx512m", "-XX:TieredStopAtLevel=1"]
    command += [f"-D{name}={value}" for name, value in settings.items()]
    secrets = {"STORE_NAME": store.user, "STORE_SECRET": store.password}
    address = f"http://{HOST}:{port}/iceberg"
    places.logs.mkdir(parents=True, exist_ok=True)
    with (
        (places.logs / f"{SERVICE}.log").open("wb") as log,
        subprocess.Popen(
            [*command, "-jar", str(jar)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **secrets},
        ) as process,
    ):
        try:
            _wait(process, address, log.name)
            yield address
        finally:
            process.terminate()


def _wait(process: "subprocess.Popen[bytes]", address: str, log: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not _answers(address):
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"{SERVICE} does not answer; see {log}")
        time.sleep(0.2)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(  # noqa: S310
            f"{address}/v1/config", timeout=2
        ) as answer:
            return "defaults" in json.load(answer)
    except (OSError, ValueError):
        return False


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="nessie", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".stack"))
    places = Places(parser.parse_args().folder.resolve())
    addresses = read_addresses(places)
    if addresses is None:
        raise StackError("the stack was never started: make stack-up")
    with serving(places, addresses, "s3://warehouse/nessie") as address:
        sys.stdout.write(f"catalog: {address}\n")
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
