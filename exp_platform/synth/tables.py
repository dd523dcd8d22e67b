"""Arrays into Arrow tables with the columns of the contracts."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exp_platform.schemas import arrow_schema
from exp_platform.synth.arrays import Ints
from exp_platform.synth.exposure import LONG_AGO
from exp_platform.synth.population import COUNTRIES, PLATFORMS, Population
from exp_platform.synth.rhythm import Rhythm
from exp_platform.synth.rows import METRICS, ExposureRows, OutcomeRows

CONTROL, TREATMENT = "control", "treatment"
UNIT_TYPE = "user"
CLUSTER = "market"


def build_exposures(
    rows: ExposureRows,
    population: Population,
    first_seen_ms: Ints,
    *,
    rhythm: Rhythm,
    experiment_id: str,
    has_markets: bool,
) -> pa.Table:
    """Build the table `exposures`."""
    first_seen = first_seen_ms[rows.user]
    columns = {
        "experiment_id": _repeat(experiment_id, rows.user.size),
        "user_id": _name_users(population.n_users).take(pa.array(rows.user)),
        "variant": _pick((CONTROL, TREATMENT), rows.is_treatment.astype(np.int64)),
        "exposure_ts": _instants(rows.at_ms, rhythm),
        "unit": _repeat(UNIT_TYPE, rows.user.size),
        "attributes": _attributes(rows.user, population, has_markets=has_markets),
        "first_seen_ts": _instants(first_seen, rhythm, missing=first_seen == LONG_AGO),
    }
    return pa.table(columns, schema=arrow_schema("exposures"))


def build_outcomes(
    rows: OutcomeRows, n_users: int, rhythm: Rhythm, experiment_id: str
) -> pa.Table:
    """Build the table `outcomes`."""
    columns = {
        "experiment_id": _repeat(experiment_id, rows.user.size),
        "user_id": _name_users(n_users).take(pa.array(rows.user)),
        "metric_name": _pick(METRICS, rows.metric),
        "value": pa.array(rows.value),
        "outcome_ts": _instants(rows.at_ms, rhythm),
        "received_ts": _instants(rows.received_ms, rhythm),
    }
    return pa.table(columns, schema=arrow_schema("outcomes"))


def build_assignments(
    user: Ints,
    at_ms: Ints,
    population: Population,
    *,
    rhythm: Rhythm,
    experiment_id: str,
) -> pa.Table:
    """Build the table `assignments`: arm and instant of the users at these positions."""
    columns = {
        "experiment_id": _repeat(experiment_id, user.size),
        "user_id": _name_users(population.n_users).take(pa.array(user)),
        "variant": _pick(
            (CONTROL, TREATMENT), population.is_treated[user].astype(np.int64)
        ),
        "assigned_ts": _instants(at_ms, rhythm),
        "unit": _repeat(UNIT_TYPE, user.size),
    }
    return pa.table(columns, schema=arrow_schema("assignments"))


def _name_users(n_users: int) -> Any:
    digits = pc.cast(pa.array(np.arange(n_users)), pa.string())
    width = max(7, len(str(n_users - 1)))
    padded = pc.utf8_lpad(digits, width, "0")
    return pc.binary_join_element_wise("u", padded, "")


def _repeat(text: str, n: int) -> Any:
    return pa.repeat(pa.scalar(text), n)


def _pick(names: tuple[str, ...], positions: Ints) -> Any:
    return pa.array(names, pa.string()).take(pa.array(positions))


def _instants(at_ms: Ints, rhythm: Rhythm, *, missing: Any = None) -> Any:
    origin_us = int(rhythm.origin.timestamp()) * 1_000_000
    stamps = pa.array(origin_us + at_ms * 1000, mask=missing)
    return stamps.cast(pa.timestamp("us", tz="UTC"))


def _attributes(user: Ints, population: Population, *, has_markets: bool) -> Any:
    """One map per row: country, platform and, in a roll-out, the market."""
    values = {
        "country": _pick(COUNTRIES, population.country[user]),
        "platform": _pick(PLATFORMS, population.platform[user]),
    }
    if has_markets:
        values[CLUSTER] = _name_markets(population.market[user])
    n, k = user.size, len(values)
    by_key = pa.concat_arrays(list(values.values()))
    by_row = np.arange(n * k).reshape(k, n).T.ravel()
    keys = _pick(tuple(values), np.tile(np.arange(k), n))
    offsets = pa.array(np.arange(0, n * k + 1, k), pa.int32())
    return pa.MapArray.from_arrays(offsets, keys, by_key.take(pa.array(by_row)))


def _name_markets(market: Ints) -> Any:
    digits = pc.utf8_lpad(pc.cast(pa.array(market), pa.string()), 3, "0")
    return pc.binary_join_element_wise("market_", digits, "")
