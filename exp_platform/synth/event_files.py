"""Events into raw files: one table per file, as a collector would have written them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exp_platform.synth.arrays import Ints
from exp_platform.synth.behaviour import Scene
from exp_platform.synth.exposure import LONG_AGO
from exp_platform.synth.happening import CONTACT, EVENTS, PAGE, VIEWED, EventRows
from exp_platform.synth.population import COUNTRIES, PLATFORMS
from exp_platform.synth.randomness import Streams
from exp_platform.synth.rhythm import DAY_MS, HOUR_MS
from exp_platform.synth.tables import CLUSTER, CONTROL, TREATMENT

_DEVICES = {"web": "desktop", "ios": "phone", "android": "phone"}
_SKEWED_SHARE = 0.05  # of devices
_SKEW_SD_MS = 2.0 * HOUR_MS
_MOVER_SHARE = 0.03  # of users, to another platform some time after their exposure
_INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Sender:
    """What the events of an experiment are sent with.

    Attributes:
        skew_ms: how far each user's clock is ahead, shape (n_users,).
        moves_ms: instant from which a user comes by another platform.
    """

    experiment_id: str
    scene: Scene
    skew_ms: Ints
    moves_ms: Ints

    @property
    def feature(self) -> str:
        """Key of the flag behind the experiment: its name without number and prefix."""
        return re.sub(r"^exp_|_\d+$", "", self.experiment_id)


def draw_sender(experiment_id: str, scene: Scene, streams: Streams) -> Sender:
    """Draw the clocks and the moves of all users."""
    n = scene.population.n_users
    clocks, moves = streams.open("device clocks"), streams.open("platform moves")
    is_skewed = clocks.random(n) < _SKEWED_SHARE
    skew_ms = (clocks.normal(0, _SKEW_SD_MS, n) * is_skewed).astype(np.int64)
    exposed_ms = np.minimum(scene.exposures.at_ms, scene.rhythm.end_ms)
    left_ms = scene.rhythm.end_ms - exposed_ms
    moves_ms = exposed_ms + 1 + (moves.random(n) * left_ms).astype(np.int64)
    stays = moves.random(n) >= _MOVER_SHARE
    return Sender(
        experiment_id, scene, skew_ms, np.where(stays, scene.rhythm.end_ms, moves_ms)
    )


def build_event_files(rows: EventRows, sender: Sender) -> dict[str, pa.Table]:
    """Raw files by their path inside the namespace.

    A day's file holds what came in time; what came late stands in a file of its own,
    named after the day it came.
    """
    day = rows.at_ms // DAY_MS
    came = rows.received_ms // DAY_MS
    is_late = rows.received_ms >= (day + 1) * DAY_MS + HOUR_MS
    key = day * (10 * sender.scene.rhythm.n_days) + np.where(is_late, came - day, 0)
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    files = {}
    for place in np.split(order, starts[1:]) if order.size else []:
        first = place[0]
        late = f"late-{_name_day(sender, came[first])}"
        name = late if is_late[first] else "part-0"
        folder = f"event_date={_name_day(sender, day[first])}"
        files[f"{folder}/{name}.parquet"] = _build_table(rows.take(place), sender)
    return files


def _name_day(sender: Sender, day: int) -> str:
    return f"{sender.scene.rhythm.instant(int(day) * DAY_MS):%Y-%m-%d}"


def _build_table(rows: EventRows, sender: Sender) -> pa.Table:
    is_server = rows.kind == CONTACT
    skew_ms = np.where(is_server, 0, sender.skew_ms[rows.user])
    digits = _pad(rows.user, sender.scene.population.n_users)
    names = pa.array(EVENTS).take(pa.array(rows.kind))
    arm = pa.array(np.where(rows.is_treatment, "t", "c"))
    return pa.table(
        {
            "event_id": _join("-", names, digits, _text(rows.at_ms), arm),
            "event_name": names,
            "anonymous_id": _join("", pa.scalar("d"), digits),
            "user_id": pc.if_else(
                pa.array(rows.kind == PAGE), None, _join("", pa.scalar("u"), digits)
            ),
            "client_ts": _instants(rows.at_ms + skew_ms, sender),
            "sent_ts": _instants(rows.received_ms + skew_ms, sender, mask=is_server),
            "received_ts": _instants(rows.received_ms, sender),
            "properties": _write_properties(rows, sender),
            "context": _write_context(rows, sender),
        }
    )


def _write_properties(rows: EventRows, sender: Sender) -> Any:
    value = pa.array(rows.value, from_pandas=True)
    texts = _join("", pa.scalar('{"value": '), _text(value), pa.scalar("}"))
    place = np.flatnonzero(rows.kind == VIEWED)
    if place.size == 0:
        return texts
    exposures = pa.array(_describe_exposures(rows.take(place), sender))
    return pc.replace_with_mask(texts, pa.array(rows.kind == VIEWED), exposures)


def _describe_exposures(rows: EventRows, sender: Sender) -> list[str]:
    scene = sender.scene
    people, rhythm = scene.population, scene.rhythm
    has_markets = scene.scenario.assignment == "policy"
    found = []
    for user, is_treatment in zip(rows.user, rows.is_treatment, strict=True):
        attributes = {
            "country": COUNTRIES[people.country[user]],
            "platform": PLATFORMS[people.platform[user]],
        }
        if has_markets:
            attributes[CLUSTER] = f"market_{people.market[user]:03d}"
        properties: dict[str, Any] = {
            "experiment_id": sender.experiment_id,
            "feature": sender.feature,
            "variant": TREATMENT if is_treatment else CONTROL,
            "attributes": attributes,
        }
        seen_ms = int(scene.exposures.first_seen_ms[user])
        if seen_ms != LONG_AGO:
            properties["first_seen_ts"] = rhythm.instant(seen_ms).isoformat()
        found.append(json.dumps(properties))
    return found


def _write_context(rows: EventRows, sender: Sender) -> Any:
    """Few contexts differ: each is written once."""
    scene = sender.scene
    has_moved = rows.at_ms >= sender.moves_ms[rows.user]
    platform = (scene.population.platform[rows.user] + has_moved) % len(PLATFORMS)
    is_exposed = rows.at_ms >= scene.exposures.at_ms[rows.user]
    arm = np.where(is_exposed, 1 + scene.population.is_treated[rows.user], 0)
    week = rows.at_ms // (7 * DAY_MS)
    facts = np.stack((scene.population.country[rows.user], platform, arm, week), axis=1)
    distinct, place = np.unique(facts, axis=0, return_inverse=True)
    texts = pa.array([_describe_context(f.tolist(), sender) for f in distinct])
    return texts.take(pa.array(place.reshape(-1)))


def _describe_context(facts: list[int], sender: Sender) -> str:
    country, platform, arm, week = facts
    context: Mapping[str, Any] = {
        "app": {"name": "shop", "version": f"3.{week}"},
        "country": COUNTRIES[country],
        "device": {"type": _DEVICES[PLATFORMS[platform]]},
        "platform": PLATFORMS[platform],
        "experiments": [
            {"key": sender.experiment_id, "variant": (CONTROL, TREATMENT)[arm - 1]}
        ]
        if arm
        else [],
    }
    return json.dumps(context)


def _pad(user: Ints, n_users: int) -> Any:
    return pc.utf8_lpad(_text(user), max(7, len(str(n_users - 1))), "0")


def _text(values: Any) -> Any:
    return pc.cast(pa.array(values), pa.string())


def _join(separator: str, *parts: Any) -> Any:
    return pc.binary_join_element_wise(*parts, separator)


def _instants(at_ms: Ints, sender: Sender, *, mask: Any = None) -> Any:
    origin_us = int(sender.scene.rhythm.origin.timestamp()) * 1_000_000
    return pa.array(origin_us + at_ms * 1000, mask=mask).cast(_INSTANT)
