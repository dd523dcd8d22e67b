"""Checks over what ingest delivered: duplicates, quarantine, keys, window, late."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from exp_platform.checks.duplicates import check_duplicates
from exp_platform.checks.facts import (
    IngestFacts,
    KeyFacts,
    LateFacts,
    MinimumFacts,
    WindowFacts,
)
from exp_platform.checks.keys import check_keys
from exp_platform.checks.late import check_late_data
from exp_platform.checks.minimum import check_minimum_data
from exp_platform.checks.quarantine import check_quarantine
from exp_platform.checks.window import check_out_of_window
from exp_platform.records import CheckStatus

ROWS = {"exposures": 1000, "outcomes": 4000}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
INGEST = IngestFacts("e", ROWS)
KEYS = KeyFacts("e", ROWS)
LATE = LateFacts("e", 1000, 0, 24.0, NOON, NOON)


def test_check_duplicates_counts_the_worst_table():
    check = check_duplicates(replace(INGEST, duplicates={"exposures": 10}))
    assert check.status is CheckStatus.WARNED
    assert check.value == 0.01
    assert check.message == "10 duplicate rows removed: exposures 10 (1 %)."


def test_check_duplicates_passes_below_the_share():
    check = check_duplicates(replace(INGEST, duplicates={"exposures": 9}))
    assert check.status is CheckStatus.PASSED


def test_check_duplicates_says_when_the_plan_keeps_them():
    facts = replace(INGEST, duplicates={"outcomes": 400}, keeps_duplicates=True)
    assert "kept, as the plan says" in check_duplicates(facts).message


def test_check_duplicates_without_any_says_so():
    message = check_duplicates(INGEST).message
    assert message == "None of 5,000 rows was delivered twice."


def test_check_quarantine_names_the_largest_reasons():
    rejected = {
        ("outcomes", "NULL_VALUE"): 100,
        ("outcomes", "NOT_FINITE"): 5,
        ("exposures", "UNKNOWN_VARIANT"): 2,
        ("exposures", "NEGATIVE_TIME"): 1,
    }
    check = check_quarantine(replace(INGEST, quarantined=rejected))
    assert check.status is CheckStatus.WARNED
    assert check.value == 105 / 4000
    assert check.message.startswith(
        "108 rows rejected: outcomes NULL_VALUE 100 (2.5 %)"
    )
    assert check.message.endswith("and 1 more reasons.")


def test_check_quarantine_without_rejects_passes():
    check = check_quarantine(INGEST)
    assert check.status is CheckStatus.PASSED
    assert check.message == "All of 5,000 rows met the contract."


@pytest.mark.parametrize(
    ("facts", "status", "reason"),
    [
        (KEYS, CheckStatus.PASSED, "KEYS_WHOLE"),
        (
            replace(KEYS, missing={"outcomes": 3}),
            CheckStatus.PASSED,
            "FEW_MISSING_KEYS",
        ),
        (replace(KEYS, missing={"outcomes": 4}), CheckStatus.WARNED, "MISSING_KEYS"),
        (replace(KEYS, missing={"exposures": 100}), CheckStatus.FAILED, "MISSING_KEYS"),
        (replace(KEYS, absent={"buy": []}), CheckStatus.WARNED, "NOTHING_DELIVERED"),
        (replace(KEYS, repeated_units=1), CheckStatus.FAILED, "REPEATED_UNITS"),
        (replace(KEYS, unregistered_units=2), CheckStatus.FAILED, "UNREGISTERED_ARM"),
        (KeyFacts("e", {}), CheckStatus.NOT_RUN, "NO_ROWS"),
    ],
)
def test_check_keys_by_rule(facts, status, reason):
    check = check_keys(facts)
    assert (check.status, check.reason, check.can_fail) == (status, reason, True)


@pytest.mark.parametrize("check", [check_duplicates, check_quarantine])
def test_ingest_check_without_rows_is_not_run(check):
    assert check(IngestFacts("e", {"exposures": 0})).status is CheckStatus.NOT_RUN


def test_check_out_of_window_warns_on_the_worst_table():
    check = check_out_of_window(WindowFacts("e", ROWS, {"exposures": 30}))
    assert check.status is CheckStatus.WARNED
    assert check.message.startswith("30 rows of exposures (3 %) dated outside")


def test_check_out_of_window_without_rows_is_not_run():
    assert check_out_of_window(WindowFacts("e", {}, {})).status is CheckStatus.NOT_RUN


def test_check_late_data_warns_on_late_rows():
    check = check_late_data(replace(LATE, rows_late=10))
    assert (check.status, check.reason) == (CheckStatus.WARNED, "LATE_ROWS")


def test_check_late_data_warns_when_the_feed_stopped():
    check = check_late_data(replace(LATE, watermark_ts=NOON + timedelta(days=2)))
    assert (check.status, check.reason) == (CheckStatus.WARNED, "FEED_STOPPED")
    assert "48 hours before the watermark" in check.message


def test_check_late_data_without_arrival_times_still_looks_at_the_watermark():
    check = check_late_data(replace(LATE, rows=0))
    assert (check.status, check.value) == (CheckStatus.NOT_RUN, None)
    assert check.message.startswith("Times of arrival are not recorded")


def test_check_late_data_of_undated_input_is_not_run():
    check = check_late_data(replace(LATE, last_event_ts=None, is_dated=False))
    assert (check.status, check.reason) == (CheckStatus.NOT_RUN, "UNDATED")
    assert not check.can_fail


def test_check_late_data_without_rows_does_not_say_that_there_are_no_dates():
    check = check_late_data(replace(LATE, last_event_ts=None))
    assert (check.status, check.reason) == (CheckStatus.NOT_RUN, "NO_ROWS")
    assert check.message == "No outcome or event of a metric was delivered."


def test_check_minimum_data_names_the_smallest_arm():
    check = check_minimum_data(MinimumFacts("e", {"control": 5000, "B": 99}, 100))
    assert check.status is CheckStatus.WARNED
    assert check.message == "The smallest arm, B, has 99 units; the plan asks for 100."


def test_check_minimum_data_passes_at_the_minimum():
    check = check_minimum_data(MinimumFacts("e", {"control": 100, "B": 100}, 100))
    assert check.status is CheckStatus.PASSED


def test_check_minimum_data_without_arms_is_not_run():
    assert check_minimum_data(MinimumFacts("e", {}, 1)).status is CheckStatus.NOT_RUN


def test_check_keys_fails_when_no_outcome_belongs_to_a_unit():
    facts = KeyFacts("e", rows={"outcomes": 10}, has_match=False)
    check = check_keys(facts)
    assert (check.status, check.reason) == (CheckStatus.FAILED, "NOTHING_MATCHES")
    assert "identifiers do not match" in check.message


def test_check_keys_names_what_has_no_row_and_what_was_meant():
    absent = {"revenu": ["revenue", "visit"], "purchased": []}
    absent |= {name: ["visit"] for name in ("a", "b")}
    check = check_keys(replace(KEYS, missing={"outcomes": 3}, absent=absent))
    assert (check.status, check.reason) == (CheckStatus.WARNED, "NOTHING_DELIVERED")
    assert check.details["absent"] == list(absent)
    assert check.message.startswith("3 rows without a key left out")
    assert check.message.endswith(
        "No row that counts was delivered of 'revenu' (did you mean 'revenue'?), "
        "'purchased', 'a' (known: visit) and 1 more."
    )
