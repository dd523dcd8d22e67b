"""`python -m infra.stack prepare | up | down | status | env`."""

import argparse
import sys
from pathlib import Path

from . import nessie, postgres, s3, trino
from .places import Places, choose_addresses, read_addresses
from .processes import StackError, is_running, say, stop

SERVICES = {"postgres": postgres.up, "s3": s3.up, "trino": trino.up}


def main() -> int:
    """Start, stop or describe the stack."""
    parser = argparse.ArgumentParser(prog="stack", description=__doc__)
    actions = {
        "prepare": prepare,
        "up": up,
        "down": down,
        "status": tell,
        "env": environment,
    }
    parser.add_argument("action", choices=list(actions))
    parser.add_argument("--folder", type=Path, default=Path(".stack"))
    parser.add_argument("--s3", choices=sorted(s3.MODULES), default="versitygw")
    parser.add_argument("--only", choices=sorted(SERVICES), action="append")
    arguments = parser.parse_args()
    places = Places(arguments.folder.resolve())
    services = arguments.only or list(SERVICES)
    try:
        return actions[arguments.action](places, services, arguments.s3)
    except StackError as error:
        sys.stderr.write(f"error: {error}\n")
        return 4


def prepare(places: Places, _: list[str], s3_server: str) -> int:
    """Build and fetch what the stack and its tests run; nothing is started."""
    s3.build(places, s3_server)
    trino.fetch(places)
    nessie.fetch(places)
    return 0


def up(places: Places, services: list[str], s3_server: str) -> int:
    """Start what does not run yet."""
    known = read_addresses(places)
    if known is not None and known.s3_server != s3_server:
        down(places, list(SERVICES), s3_server)
    addresses = choose_addresses(places, s3_server)
    for name in services:
        SERVICES[name](places, addresses)
        say(f"{name} is up")
    return 0


def down(places: Places, services: list[str], _: str) -> int:
    """Stop what runs; data and programs stay."""
    for name in reversed(services):
        stop(places, name)
    return 0


def tell(places: Places, services: list[str], _: str) -> int:
    """Which services run; exit code 1 when one does not."""
    states = {name: is_running(places, name) for name in services}
    for name, is_up in states.items():
        sys.stdout.write(f"{name}: {'up' if is_up else 'down'}\n")
    return 0 if all(states.values()) else 1


def environment(places: Places, _: list[str], __: str) -> int:
    """Shell lines that export what configs/stack.yaml reads."""
    addresses = read_addresses(places)
    if addresses is None:
        raise StackError("the stack was never started: make stack-up")
    known = {**addresses.environment(), "EXP_STACK_FOLDER": str(places.root)}
    for name, value in known.items():
        sys.stdout.write(f"export {name}={value}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
