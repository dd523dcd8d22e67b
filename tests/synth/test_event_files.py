"""Synthetic raw events tell the same story as the delivered tables."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from exp_platform.config import Scenario
from exp_platform.synth import SyntheticExperiment, generate_experiment

DAY_US = 86_400_000_000
MESSY = {
    "duplicate_share": 0.1,
    "late_share": 0.1,
    "crossover_share": 0.1,
    "bot_share": 0.02,
    "outlier_value": 5000.0,
}
SCENARIOS = {
    "clean": {},
    "messy": {"failure_modes": MESSY},
    "without pre-period": {"failure_modes": {"missing_pre_period": True}},
    "roll-out": {"assignment": "policy", "policy_day": 4, "n_clusters": 10},
}


def generate(**changes) -> SyntheticExperiment:
    base = {"days": 7, "n_users": 500, "base_conversion": 0.3, "events": True}
    return generate_experiment("exp_7", Scenario(**{**base, **changes}))


@pytest.fixture(scope="module", params=SCENARIOS, ids=list(SCENARIOS))
def experiment(request):
    return generate(**SCENARIOS[request.param])


def events_of(experiment) -> pa.Table:
    return pa.concat_tables(experiment.events.values())


def instants(table):
    """When it happened: the device's clock corrected by what it said at sending."""
    client, received = (
        table[name].cast("int64").to_numpy() for name in ("client_ts", "received_ts")
    )
    sent = table["sent_ts"].cast("int64").fill_null(0).to_numpy()
    is_known = table["sent_ts"].is_valid().to_numpy()
    return client + np.where(is_known, received - sent, 0)


def once(table):
    """Each event once."""
    first = pc.index_in(
        pc.unique(table["event_id"]), value_set=table["event_id"].combine_chunks()
    )
    return table.take(first)


def facts(users, names, values, at):
    return sorted(zip(users, names, values, at, strict=True))


def test_outcomes_follow_from_events(experiment):
    table = once(events_of(experiment))
    told = []
    for user, name, text, at in zip(
        table["user_id"].to_pylist(),
        table["event_name"].to_pylist(),
        table["properties"].to_pylist(),
        instants(table).tolist(),
        strict=True,
    ):
        value = json.loads(text)["value"] if text and "value" in text else None
        if name == "daily_activity":
            told.append((user, "sessions", value, at))
        elif name == "purchase":
            told += [(user, "conversion", 1.0, at), (user, "revenue", value, at)]
        elif name == "support_contact":
            told.append((user, "support_contacts", 1.0, at))
    outcomes = experiment.tables["outcomes"]
    columns = ("user_id", "metric_name", "value")
    delivered = {
        *zip(
            *(outcomes[name].to_pylist() for name in columns),
            outcomes["outcome_ts"].cast("int64").to_pylist(),
            strict=True,
        )
    }
    assert len(told) == len(set(told)) == len(delivered)
    assert set(told) == delivered


def test_exposures_follow_from_events(experiment):
    table = events_of(experiment)
    table = table.filter(pc.equal(table["event_name"], "experiment_viewed"))
    properties = [json.loads(text) for text in table["properties"].to_pylist()]
    told = sorted(
        (user, p["variant"], at, sorted(p["attributes"].items()))
        for user, p, at in zip(
            table["user_id"].to_pylist(), properties, instants(table), strict=True
        )
    )
    exposures = experiment.tables["exposures"]
    delivered = sorted(
        (row["user_id"], row["variant"], at, sorted(row["attributes"]))
        for row, at in zip(
            exposures.to_pylist(),
            exposures["exposure_ts"].cast("int64").to_pylist(),
            strict=True,
        )
    )
    assert told == delivered
    assert {p["experiment_id"] for p in properties} == {"exp_7"}


def test_exposed_units_were_assigned_before(experiment):
    assigned = {
        row["user_id"]: row
        for row in experiment.tables["experiment_assignments"].to_pylist()
    }
    first = {}
    for row in experiment.tables["exposures"].to_pylist():
        known = first.get(row["user_id"])
        if known is None or row["exposure_ts"] < known["exposure_ts"]:
            first[row["user_id"]] = row
    assert first.keys() <= assigned.keys()
    for user, row in first.items():
        assert assigned[user]["assigned_ts"] <= row["exposure_ts"]
        assert assigned[user]["variant"] == row["variant"]


def test_files_lie_under_the_day_of_the_event():
    experiment = generate(**SCENARIOS["messy"])
    assert any("/late-" in name for name in experiment.events)
    for name, table in experiment.events.items():
        folder, file = name.split("/")
        day = np.datetime64(folder.removeprefix("event_date="), "us").astype(int)
        assert ((instants(table) - day) // DAY_US == 0).all()
        received = table["received_ts"].cast("int64").to_numpy()
        if file.startswith("late-"):
            assert (received >= day + DAY_US).all()
            came = file.removeprefix("late-").removesuffix(".parquet")
            assert set(received // DAY_US) == {np.datetime64(came, "D").astype(int)}


def test_events_of_strangers_name_no_user():
    table = events_of(generate())
    is_stranger = pc.is_null(table["user_id"])
    names = pc.unique(table.filter(is_stranger)["event_name"]).to_pylist()
    assert names == ["page_viewed"]
    assert table["anonymous_id"].null_count == 0


def test_checkouts_cover_purchases():
    table = once(events_of(generate(base_conversion=0.5)))
    seen = {
        name: {
            (row["user_id"], at)
            for row, at in zip(table.to_pylist(), instants(table), strict=True)
            if row["event_name"] == name
        }
        for name in ("checkout_started", "purchase")
    }
    assert seen["purchase"] < seen["checkout_started"]


def test_some_users_come_by_another_platform_after_their_exposure():
    experiment = generate(n_users=2000)
    table = events_of(experiment)
    platform = {}
    for user, context in zip(
        table["user_id"].to_pylist(), table["context"].to_pylist(), strict=True
    ):
        if user:
            platform.setdefault(user, set()).add(json.loads(context)["platform"])
    movers = [user for user, found in platform.items() if len(found) > 1]
    assert 0 < len(movers) < 0.06 * len(platform)


def test_events_do_not_change_the_delivered_tables():
    with_events, without = generate(), generate(events=False)
    assert without.events == {}
    for name in ("exposures", "outcomes"):
        assert with_events.tables[name].equals(without.tables[name])
    assert "experiment_assignments" not in without.tables
    assert with_events.truth == without.truth


def test_generate_experiment_twice_gives_the_same_events():
    one, other = generate(**SCENARIOS["messy"]), generate(**SCENARIOS["messy"])
    assert list(one.events) == list(other.events)
    assert all(one.events[name].equals(other.events[name]) for name in one.events)
