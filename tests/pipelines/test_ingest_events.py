"""Canonical events follow from the raw files alone, in whatever portions they come."""

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exp_platform.errors import ContractError
from exp_platform.lake import open_lake
from exp_platform.lake.events import events_folder, land_events
from tests.pipelines.shop import (
    COLUMNS,
    DAY,
    HOUR,
    NOON,
    SHOP,
    Row,
    Shop,
    event,
    make_shop,
)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return make_shop(tmp_path)


def test_ingest_events_types_and_cleans_an_event(shop: Shop) -> None:
    context = {
        "app": {"name": "shop", "version": "2.1"},
        "location": {"country": "DE"},
        "device": {"type": "phone"},
        "experiments": [{"key": "exp_a", "variant": "control"}],
    }
    shop.collect(
        "a",
        [
            event(
                " e1 ",
                None,
                anonymous_id="d7",
                sent_ts=NOON + 2 * HOUR,
                received_ts=NOON + HOUR,
                properties='{"value": "12.5", "sku": {"id": 3}}',
                context=json.dumps(context),
            )
        ],
    )
    delivery = shop.ingest()
    assert (delivery.delivered, delivery.accepted, delivery.rejected) == (1, 1, {})
    (row,) = shop.table()
    assert row == {
        "event_id": "e1",
        "namespace": SHOP,
        "event_date": date(2026, 1, 5),
        "user_id": "d7",
        "anonymous_id": "d7",
        "is_known": False,
        "event_name": "purchase",
        "event_ts": NOON - HOUR,
        "client_ts": NOON,
        "received_ts": NOON + HOUR,
        "value": 12.5,
        "properties": [("value", "12.5"), ("sku", '{"id":3}')],
        "country": "DE",
        "device": "phone",
        "platform": None,
        "app": "shop",
        "app_version": "2.1",
        "experiments": '[{"key":"exp_a","variant":"control"}]',
        "source_file": "events/namespace=shop/event_date=2026-01-05/a.parquet",
        "source_row": 1,
    }


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (event(None), "MISSING_KEY"),
        (event("  "), "MISSING_KEY"),
        (event("e", ""), "MISSING_KEY"),
        (event("e", event_name=None), "MISSING_KEY"),
        (event("e", client_ts=None), "BAD_TIMESTAMP"),
        (event("e", received_ts=None), "BAD_TIMESTAMP"),
        (
            event("e", client_ts=datetime(1969, 12, 31, tzinfo=UTC)),
            "TIMESTAMP_OUT_OF_RANGE",
        ),
        (
            event("e", sent_ts=datetime(2200, 1, 1, tzinfo=UTC)),
            "TIMESTAMP_OUT_OF_RANGE",
        ),
        (event("e", properties="{no json"), "BAD_PROPERTIES"),
        (event("e", properties="[1]"), "BAD_PROPERTIES"),
        (event("e", properties='{"a": 1, "a": 2}'), "BAD_PROPERTIES"),
        (event("e", context="oops"), "BAD_PROPERTIES"),
        (event("e", properties='{"value": null}'), "MISSING_VALUE"),
        (event("e", properties='{"value": "dear"}'), "NOT_A_NUMBER"),
        (event("e", properties='{"value": "inf"}'), "NOT_FINITE"),
        (event("e", properties='{"value": "NaN"}'), "NOT_FINITE"),
        (event("e", properties='{"value": 1e101}'), "VALUE_OUT_OF_RANGE"),
    ],
)
def test_ingest_events_quarantines_a_bad_row(shop: Shop, row: Row, reason: str) -> None:
    shop.collect("a", [event("good"), row])
    delivery = shop.ingest()
    assert (delivery.delivered, delivery.accepted) == (2, 1)
    assert delivery.rejected == {reason: 1}
    assert shop.ids() == ["good"]
    (kept,) = shop.table("event_quarantine")
    assert (kept["reason"], kept["source_row"]) == (reason, 2)
    assert json.loads(kept["payload"])["properties_text"] == row["properties"]


@pytest.mark.parametrize(
    "row",
    [
        event("e", properties=None),
        event("e", properties="{}", context=None),
        event("e", properties='{"value": false}', context="[]"),
        event("e", client_ts=datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_ingest_events_accepts_what_is_merely_sparse(shop: Shop, row: Row) -> None:
    if row["properties"] == '{"value": false}':
        row = row | {"properties": '{"other": false}'}
    shop.collect("a", [row])
    assert shop.ingest().accepted == 1


def test_ingest_events_reads_instants_delivered_as_text(shop: Shop) -> None:
    path = shop.collect("a", [event("e1"), event("e2"), event("e3")])
    table = pq.read_table(path)
    texts = ["2026-01-05 12:00:00+00", "yesterday", "infinity"]
    place = table.column_names.index("client_ts")
    pq.write_table(table.set_column(place, "client_ts", pa.array(texts)), path)
    assert shop.ingest().rejected == {
        "BAD_TIMESTAMP": 1,
        "TIMESTAMP_OUT_OF_RANGE": 1,
    }
    assert shop.ids() == ["e1"]
    payload = json.loads(shop.table("event_quarantine")[0]["payload"])
    assert payload["unreadable_instants"] == "client_ts: yesterday"


def test_ingest_events_joins_files_with_different_columns(shop: Shop) -> None:
    shop.collect("a", [event("e1")])
    path = shop.collect("b", [event("e2")])
    table = pq.read_table(path).drop_columns(["context", "anonymous_id", "sent_ts"])
    pq.write_table(table, path)
    shop.ingest()
    assert {r["event_id"]: r["country"] for r in shop.table()} == {
        "e1": "NL",
        "e2": None,
    }


def test_ingest_events_refuses_a_file_without_a_column(shop: Shop) -> None:
    path = shop.collect("a", [event("e1")])
    pq.write_table(pq.read_table(path).rename_columns({"event_id": "id"}), path)
    with pytest.raises(ContractError, match="'event_id' is missing"):
        shop.ingest()
    assert shop.table() == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("user_id", pa.array([1.0, None])),
        ("event_id", pa.array([2.0**53, 2.0**53 + 2])),
        ("event_name", pa.array([True, False])),
        ("anonymous_id", pa.array([[1], [2]])),
    ],
    ids=["user", "id", "name", "anonymous"],
)
def test_ingest_events_refuses_names_that_are_no_texts(
    shop: Shop, name: str, values: pa.Array
) -> None:
    shop.collect("a", [event("e1")])
    path = shop.collect("b", [event("e2"), event("e3")])
    for file in path.parent.iterdir():
        table = pq.read_table(file)
        column = values.slice(0, len(table))
        place = table.column_names.index(name)
        pq.write_table(table.set_column(place, name, column), file)
    with pytest.raises(ContractError, match=f"'{name}' cannot be read as text"):
        shop.ingest()
    assert shop.table() == []


def test_ingest_events_reads_each_file_by_its_name_alone(shop: Shop) -> None:
    path = shop.collect("b[1]", [event("e1")])
    table = pq.read_table(path)
    pq.write_table(table.append_column("filename", pa.array(["theirs"])), path)
    shop.collect("b1", [event("e2")])
    shop.ingest()
    counts = {
        Path(r["source_file"]).stem: r["n_rows"] for r in shop.table("event_files")
    }
    assert counts == {"b1": 1, "b[1]": 1}


def test_ingest_events_refuses_what_is_not_parquet(shop: Shop) -> None:
    shop.collect("a", [event("e1")]).write_bytes(b"PAR1 no")
    with pytest.raises(ContractError, match="cannot be read as Parquet"):
        shop.ingest()


def test_ingest_events_of_an_empty_namespace_is_an_error(shop: Shop) -> None:
    with pytest.raises(ContractError, match="namespace has no events"):
        shop.ingest()


def test_ingest_events_again_writes_nothing(shop: Shop) -> None:
    shop.collect("a", [event("e1"), event("bad", properties="no")])
    first = shop.ingest()
    with open_lake(shop.settings) as lake:
        before = lake.states()
    assert shop.ingest() == first
    assert shop.ingest("exp_b") == first
    with open_lake(shop.settings) as lake:
        assert lake.states() == before


def test_ingest_events_replaces_the_touched_days_only(shop: Shop) -> None:
    for n in range(4):
        day = NOON + n * DAY
        shop.collect("a", [event(f"e{n}", at=day)], day=f"{day:%Y-%m-%d}")
    shop.ingest()
    before = shop.files()
    assert len(before) == 4
    late = event("late", at=NOON + 2 * DAY, received_ts=NOON + 9 * DAY)
    shop.collect("b", [late], day="2026-01-14")
    shop.ingest()
    after = shop.files()
    assert {day for day in before if before[day] != after[day]} == {
        "event_date=2026-01-07"
    }
    assert after.keys() == before.keys()
    assert shop.ids() == ["e0", "e1", "e2", "e3", "late"]


def test_ingest_events_counts_copies_and_keeps_the_first(shop: Shop) -> None:
    shop.collect("a", [event("e1", received_ts=NOON + HOUR)])
    shop.ingest()
    shop.collect("b", [event("e1", received_ts=NOON + 2 * HOUR), event("e2")])
    delivery = shop.ingest()
    assert (delivery.delivered, delivery.accepted) == (3, 2)
    assert delivery.rejected == {"DUPLICATE_ROW": 1}
    kept = {row["event_id"]: row["received_ts"] for row in shop.table()}
    assert kept["e1"] == NOON + HOUR
    assert shop.table("event_quarantine") == []


def test_ingest_events_finds_a_copy_on_another_day(shop: Shop) -> None:
    """A clock that says another thing at each sending moves a copy over midnight."""
    midnight = datetime(2026, 1, 6, tzinfo=UTC)
    first = event("e1", at=midnight - timedelta(seconds=1), received_ts=midnight)
    again = first | {
        "sent_ts": midnight - timedelta(seconds=1),
        "received_ts": midnight + timedelta(seconds=1),
    }
    shop.collect("a", [first])
    shop.ingest()
    shop.collect("b", [again, event("e2", at=midnight + HOUR)], day="2026-01-06")
    shop.ingest()
    found = {row["event_id"]: row["event_date"] for row in shop.table()}
    assert found == {"e1": date(2026, 1, 5), "e2": date(2026, 1, 6)}
    # and the other way round: what comes later was received first, a day away
    shop.collect("c", [again | {"event_id": "e3"}], day="2026-01-06")
    shop.ingest()
    shop.collect("d", [first | {"event_id": "e3"}])
    shop.ingest()
    days = [r["event_date"] for r in shop.table() if r["event_id"] == "e3"]
    assert days == [date(2026, 1, 5)]


def test_ingest_events_quarantines_another_event_under_the_same_id(
    shop: Shop,
) -> None:
    shop.collect("a", [event("e1"), event("e1", "u2", at=NOON + HOUR)])
    delivery = shop.ingest()
    assert delivery.rejected == {"EVENT_ID_REUSED": 1}
    assert [row["user_id"] for row in shop.table()] == ["u1"]
    (kept,) = shop.table("event_quarantine")
    assert (kept["user_id"], kept["source_row"]) == ("u2", 2)


@pytest.mark.parametrize("order", ["ab", "ba", "a|b", "b|a"])
def test_ingest_events_knows_a_rejected_event_that_also_came_in_order(
    shop: Shop, order: str
) -> None:
    files = {
        "a": [
            event("e1", properties='{"value": "2,5"}'),
            event("e2", properties='{"value": "2,5"}'),
            event("e3", properties='{"value": "2,5"}', received_ts=NOON + HOUR),
            event("e4", "u2", properties='{"value": "2,5"}'),
        ],
        "b": [event("e1"), event("e3"), event("e4", "u1")],
    }
    for name in order.replace("|", ""):
        shop.collect(name, files[name])
        if "|" in order:
            shop.ingest()
    delivery = shop.ingest()
    assert shop.ids() == ["e1", "e3", "e4"]
    assert (delivery.delivered, delivery.accepted) == (7, 3)
    assert {r["event_id"]: r["reason"] for r in shop.table("event_quarantine")} == {
        "e1": "EVENT_ID_REUSED",
        "e2": "NOT_A_NUMBER",
        "e3": "EVENT_ID_REUSED",
        "e4": "NOT_A_NUMBER",
    }


def test_ingest_events_of_a_changed_file_reads_everything_again(shop: Shop) -> None:
    shop.collect("a", [event("e1"), event("gone", at=NOON - 3 * DAY)])
    shop.collect("b", [event("e2")])
    shop.ingest()
    shop.collect("a", [event("e1", "somebody else")])
    shop.ingest()
    assert {r["event_id"]: r["user_id"] for r in shop.table()} == {
        "e1": "somebody else",
        "e2": "u1",
    }
    assert len(shop.table("event_files")) == 2


def test_ingest_events_keeps_the_events_of_pruned_files(shop: Shop) -> None:
    shop.collect("a", [event("e1")])
    shop.ingest()
    shutil.rmtree(events_folder(shop.raw, SHOP))
    assert shop.ingest().accepted == 1
    shop.collect("b", [event("e2")])
    shop.ingest()
    assert shop.ids() == ["e1", "e2"]
    shop.collect("b", [event("e2", "somebody else")])
    with pytest.raises(ContractError, match="1 other ingested files are gone"):
        shop.ingest()
    assert shop.ids() == ["e1", "e2"]


def test_ingest_events_of_another_generation_starts_anew(shop: Shop) -> None:
    schema = pa.schema(list(COLUMNS.items()))

    def land(*names: str) -> None:
        rows = [event(name, at=NOON + i * DAY) for i, name in enumerate(names)]
        files = {
            f"event_date=2026-01-0{5 + i}/part.parquet": pa.Table.from_pylist(
                [row], schema=schema
            )
            for i, row in enumerate(rows)
        }
        land_events(shop.raw, SHOP, files)

    land("a", "b", "c")
    shop.ingest()
    assert shop.ids() == ["a", "b", "c"]
    land("d")
    shop.ingest()
    assert shop.ids() == ["d"]
    assert shop.files().keys() == {"event_date=2026-01-05"}


def test_ingest_events_refuses_a_landing_that_was_tampered_with(shop: Shop) -> None:
    schema = pa.schema(list(COLUMNS.items()))
    table = pa.Table.from_pylist([event("e1")], schema=schema)
    name = "event_date=2026-01-05/part.parquet"
    folder = land_events(shop.raw, SHOP, {name: table})
    pq.write_table(table.slice(0, 0), folder / name)
    with pytest.raises(ContractError, match="not the one that was delivered"):
        shop.ingest()
    (folder / name).unlink()
    with pytest.raises(ContractError, match="raw event files are missing"):
        shop.ingest()


def test_users_are_described_over_all_days(shop: Shop) -> None:
    shop.collect("a", [event("e1", context='{"platform": "web", "country": "NL"}')])
    shop.ingest()
    later = event("e2", at=NOON + 3 * DAY, context='{"platform": "ios"}')
    shop.collect("b", [later, event("e3", None, anonymous_id="d1")])
    shop.ingest()
    known, stranger = sorted(shop.table("dim_user"), key=lambda r: not r["is_known"])
    assert (known["user_id"], known["n_events"]) == ("u1", 2)
    assert (known["platform"], known["country"]) == ("ios", "NL")
    assert known["last_seen_ts"] - known["first_seen_ts"] == 3 * DAY
    assert (stranger["user_id"], stranger["is_known"]) == ("d1", False)


# --- any order, any portions --------------------------------------------------------

INSTANTS = [NOON, NOON + 11 * HOUR, NOON + 12 * HOUR, NOON + 13 * HOUR, NOON + 2 * DAY]
EVENTS = st.builds(
    event,
    st.sampled_from(["e1", "e2", "e3", "e4", "e5", None]),
    st.sampled_from(["u1", "u2", None]),
    at=st.sampled_from(INSTANTS),
    received_ts=st.sampled_from([*INSTANTS, NOON + 5 * DAY]),
    properties=st.sampled_from(['{"value": 1}', '{"value": 2}', "{}", "broken"]),
)


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    files=st.lists(st.lists(EVENTS, min_size=1, max_size=6), min_size=2, max_size=4),
    data=st.data(),
)
def test_events_in_portions_equal_events_at_once(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[list[Row]],
    data: st.DataObject,
) -> None:
    at_once, by_portions = (make_shop(tmp_path_factory.mktemp("shop")) for _ in "ab")
    for number, rows in enumerate(files):
        at_once.collect(f"f{number}", rows)
    at_once.ingest()
    order = data.draw(st.permutations(range(len(files))))
    for number in order:
        by_portions.collect(f"f{number}", files[number])
        if data.draw(st.booleans()):
            by_portions.ingest()
    by_portions.ingest()
    assert by_portions.table() == at_once.table()
    assert by_portions.table("dim_user") == at_once.table("dim_user")
    ids = [row["event_id"] for row in at_once.table()]
    assert len(set(ids)) == len(ids)
    assert unknown(by_portions) == unknown(at_once)


def unknown(shop: Shop) -> list[tuple[str, int, str]]:
    """Rejected rows of events that came in no readable form."""
    return sorted(
        (row["source_file"], row["source_row"], row["reason"])
        for row in shop.table("event_quarantine")
        if row["reason"] != "EVENT_ID_REUSED"
    )


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [("user_id", pa.float64(), 123.0), ("received_ts", pa.int64(), 1767225600000)],
)
def test_ingest_events_reads_the_types_of_every_file(
    shop: Shop, name: str, kind: pa.DataType, value: float
) -> None:
    """Beside a file of texts the unit 123 of another one was 123.0."""
    shop.collect("a", [event("e1")])
    path = shop.collect("b", [event("e2")])
    rows = pq.read_table(path)
    at = rows.schema.get_field_index(name)
    pq.write_table(rows.set_column(at, name, pa.array([value], kind)), path)
    with pytest.raises(ContractError, match=f"'{name}' cannot be read") as caught:
        shop.ingest()
    assert caught.value.parts["where"] == f"{path} (raw events)"
