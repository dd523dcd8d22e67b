from dataclasses import replace

from exp_platform.checks.anomaly import MOST_TOLD, check_metric_anomaly
from exp_platform.checks.facts import AnomalyFacts, UnusualDay
from exp_platform.records import CheckStatus

SPIKE = UnusualDay(
    metric_name="sessions",
    variant="B",
    day="2026-03-09",
    reference="history",
    reason="SPIKE",
    value=1.5,
    expected=0.5,
    score=9.0,
    threshold=6.0,
)
DROP = replace(SPIKE, reason="DROP", day="2026-03-10", score=-7.0, threshold=-6.0)
LOST = replace(
    SPIKE, reason="MISSING_DAY", day="2026-03-08", value=0.0, score=21.0, threshold=20.0
)


def check(*days):
    return check_metric_anomaly(AnomalyFacts("e", 3, days))


def test_check_metric_anomaly_without_an_unusual_day_passes():
    result = check()
    assert (result.status, result.reason) == (CheckStatus.PASSED, "DAYS_AS_USUAL")
    assert "3 metrics" in result.message
    assert (result.value, result.can_fail) == (None, False)


def test_check_metric_anomaly_warns_with_the_number():
    result = check(SPIKE)
    assert (result.status, result.reason) == (CheckStatus.WARNED, "SPIKE")
    assert (result.value, result.threshold) == (9.0, 6.0)
    assert result.message == (
        "1 unusual day: 2026-03-09. The gravest is a spike in sessions, B, on "
        "2026-03-09: 1.5 per unit where 0.5 was expected."
    )


def test_check_metric_anomaly_tells_the_gravest_first():
    result = check(SPIKE, DROP, LOST)
    assert result.reason == "MISSING_DAY"
    assert "3 unusual days: 2026-03-08, 2026-03-09, 2026-03-10." in result.message
    assert [day["reason"] for day in result.details["found"]] == [
        "MISSING_DAY",
        "DROP",
        "SPIKE",
    ]
    assert check(SPIKE, replace(SPIKE, variant="A", score=12.0)).value == 12.0


def test_check_metric_anomaly_keeps_a_bounded_list():
    many = [
        replace(SPIKE, day=f"2026-{m:02}-{d:02}")
        for m in range(1, 4)
        for d in range(1, 29)
    ]
    result = check(*many)
    assert result.details["n_found"] == 84
    assert len(result.details["found"]) == MOST_TOLD
    assert "2026-01-03 and more." in result.message
