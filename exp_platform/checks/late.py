"""Rows that came late, and feeds that stopped early."""

from datetime import timedelta

from exp_platform.checks.catalogue import checks_not_run
from exp_platform.checks.facts import LateFacts
from exp_platform.checks.numbers import format_measure
from exp_platform.checks.wording import format_share
from exp_platform.records import CheckResult, CheckStatus

WARN_SHARE = 0.01


def check_late_data(facts: LateFacts) -> CheckResult:
    """Will these numbers still move, or did the feed stop?

    Args:
        facts: rows late, newest event and watermark.
    """
    if facts.last_event_ts is None:
        return checks_not_run(
            ["LATE_DATA"],
            facts.experiment_id,
            reason="NO_ROWS" if facts.is_dated else "UNDATED",
            message="No outcome or event of a metric was delivered."
            if facts.is_dated
            else "The input has no dates, so nothing can be late.",
        )[0]
    share = facts.rows_late / facts.rows if facts.rows > 0 else None
    gap = facts.watermark_ts - facts.last_event_ts
    is_late = share is not None and share >= WARN_SHARE
    has_stopped = gap > timedelta(hours=facts.threshold_hours)
    status = CheckStatus.WARNED if is_late or has_stopped else CheckStatus.PASSED
    if share is None and not has_stopped:
        status = CheckStatus.NOT_RUN
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="LATE_DATA",
        status=status,
        reason=_reason(share, is_late=is_late, has_stopped=has_stopped),
        message=_describe(facts, share, gap_hours=gap / timedelta(hours=1)),
        value=share,
        threshold=WARN_SHARE,
        details={
            "rows_late": facts.rows_late,
            "threshold_hours": facts.threshold_hours,
            "last_event_ts": facts.last_event_ts.isoformat(),
            "watermark_ts": facts.watermark_ts.isoformat(),
        },
    )


def _reason(share: float | None, *, is_late: bool, has_stopped: bool) -> str:
    if is_late:
        return "LATE_ROWS"
    if has_stopped:
        return "FEED_STOPPED"
    return "ARRIVAL_NOT_RECORDED" if share is None else "IN_TIME"


def _describe(facts: LateFacts, share: float | None, *, gap_hours: float) -> str:
    limit = f"{format_measure(facts.threshold_hours)} hours"
    arrival = (
        "Times of arrival are not recorded"
        if share is None
        else f"{format_share(share)} of rows arrived more than {limit} late"
    )
    if gap_hours <= 0:
        return f"{arrival}; events reach the watermark."
    gap = f"{format_measure(gap_hours)} hours"
    return f"{arrival}; the newest event lies {gap} before the watermark."
