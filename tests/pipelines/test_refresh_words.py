"""What `exp refresh` says of what it did."""

from datetime import UTC, datetime

import pytest

from exp_platform.pipelines.refresh import RefreshOutcome
from exp_platform.pipelines.refresh_words import as_document, as_lines
from exp_platform.records import RefreshReport

REPORT = RefreshReport(
    experiment_id="exp_1",
    watermark_ts=datetime(2000, 1, 2, tzinfo=UTC),
    full_reason=None,
    n_files=2,
    n_files_read=0,
    n_units=600,
    n_units_touched=0,
    n_cohorts_computed=0,
    in_full={},
    batch=2,
)


@pytest.mark.parametrize(
    ("is_dated", "line", "instant"),
    [
        (True, "complete as of 2000-01-02 00:00 UTC", "2000-01-02T00:00:00+00:00"),
        (False, "complete: data without dates", None),
    ],
)
def test_watermark_is_told_of_dated_data_only(is_dated, line, instant):
    outcome = RefreshOutcome(REPORT, {}, is_dated)
    assert as_lines(outcome)[0] == line
    assert as_document(outcome)["refresh"]["watermark_ts"] == instant


def test_segments_that_take_all_events_are_told_as_left_out():
    outcome = RefreshOutcome(REPORT, {}, segments_left_out=("dim_user.country",))
    assert "segment left out: dim_user.country" in as_lines(outcome)[-1]
    assert as_document(outcome)["segments_left_out"] == ["dim_user.country"]
