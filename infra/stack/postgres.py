"""PostgreSQL from the system's packages: the catalog, and a table to federate with."""

import os
import shutil
from pathlib import Path

from .places import HOST, Addresses, Places
from .processes import StackError, is_running, run, say, start, wait_until

SERVICE = "postgres"
ACCOUNT = "postgres"
DATABASES = ("iceberg", "shop")
NO_CLUSTER = Path("/etc/postgresql-common/createcluster.d/exp_platform.conf")


def up(places: Places, addresses: Addresses) -> None:
    """Create the cluster when there is none, and start it."""
    if not is_installed():
        install()
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


def is_installed() -> bool:
    """Are the server's programs here?"""
    try:
        return bool(find_program("initdb") and find_program("postgres"))
    except StackError:
        return False


def install() -> None:
    """Install Debian's package, without the cluster that it would make and start.

    Raises:
        StackError: only root may, or there is no such package.
    """
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise StackError("PostgreSQL is not installed: apt-get install postgresql")
    say("installing PostgreSQL")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
    try:
        run([*command, "postgresql-common"], quiet)
    except StackError:
        run(["apt-get", "update", "-qq"], quiet)
        run([*command, "postgresql-common"], quiet)
    NO_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
    NO_CLUSTER.write_text("create_main_cluster = false\n", "utf-8")
    run([*command, "postgresql"], quiet)


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
