"""PostgreSQL from the system's packages: the catalog, and a table to federate with."""

import os
import shutil
from pathlib import Path

from .places import HOST, Addresses, Places
from .processes import StackError, is_running, run, say, start, wait_until

SERVICE = "postgres"
ACCOUNT = "postgres"
DATABASES = ("iceberg", "shop")


def up(places: Places, addresses: Addresses) -> None:
    """Create the cluster when there is none, and start it."""
    data = places.data(SERVICE)
    if not (data / "PG_VERSION").is_file():
        _create(places, data, addresses)
    if not is_running(places, SERVICE):
        command = [
            str(find_program("postgres")),
            *("-D", str(data), "-h", HOST, "-p", str(addresses.postgres_port)),
            *("-k", str(data), "-c", "max_connections=200"),
        ]
        start(places, SERVICE, _as_account(command))
    wait_until(places, SERVICE, lambda: _answers(addresses), seconds=30)
    for name in DATABASES:
        found = _query(addresses, f"select 1 from pg_database where datname = '{name}'")
        if not found.strip():
            _query(addresses, f"create database {name}")


def find_program(name: str) -> Path:
    """A program of PostgreSQL; Debian keeps them off the path."""
    found = shutil.which(name)
    if found:
        return Path(found)
    there = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not there:
        raise StackError("PostgreSQL is not installed: apt-get install postgresql")
    return there[-1]


def _create(places: Places, data: Path, addresses: Addresses) -> None:
    say("creating the PostgreSQL cluster")
    data.mkdir(parents=True, exist_ok=True)
    secret = places.root / "postgres.password"
    secret.touch(mode=0o600)
    secret.write_text(addresses.password, "utf-8")
    if os.geteuid() == 0:
        # postgres refuses to run as root; its account must get through to the folder
        shutil.chown(data, ACCOUNT)
        shutil.chown(secret, ACCOUNT)
    command = [str(find_program("initdb")), "-D", str(data), "-U", addresses.user]
    command += ["-A", "scram-sha-256", "--pwfile", str(secret), "-E", "UTF8"]
    try:
        run(_as_account([*command, "--no-locale", "--no-sync"]))
    finally:
        secret.unlink()


def _as_account(command: list[str]) -> list[str]:
    if os.geteuid() != 0:
        return command
    return [
        "setpriv",
        f"--reuid={ACCOUNT}",
        f"--regid={ACCOUNT}",
        "--clear-groups",
        *command,
    ]


def _answers(addresses: Addresses) -> bool:
    try:
        _query(addresses, "select 1")
    except StackError:
        return False
    return True


def _query(addresses: Addresses, sql: str) -> str:
    command = ["psql", "-h", HOST, "-p", str(addresses.postgres_port)]
    command += ["-U", addresses.user, "-d", "postgres", "-Atqc", sql]
    return run(command, {"PGPASSWORD": addresses.password})
