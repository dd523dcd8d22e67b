"""Rows dated outside the experiment."""

from exp_platform.checks.catalogue import checks_not_run
from exp_platform.checks.facts import WindowFacts
from exp_platform.checks.wording import format_count, format_share
from exp_platform.records import CheckResult, CheckStatus

WARN_SHARE = 0.01


def check_out_of_window(facts: WindowFacts) -> CheckResult:
    """Is a large share of some table dated outside the experiment?

    Args:
        facts: accepted rows and rows dated outside, by table.
    """
    if sum(facts.rows.values()) <= 0:
        return checks_not_run(
            ["OUT_OF_WINDOW"],
            facts.experiment_id,
            reason="NO_ROWS",
            message="There are no rows.",
        )[0]
    shares = {
        table: facts.outside.get(table, 0) / rows
        for table, rows in facts.rows.items()
        if rows > 0
    }
    worst = max(shares, key=lambda table: shares[table])
    is_warned = shares[worst] >= WARN_SHARE
    outside = format_count(facts.outside.get(worst, 0), "row")
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="OUT_OF_WINDOW",
        status=CheckStatus.WARNED if is_warned else CheckStatus.PASSED,
        reason="ROWS_OUTSIDE" if is_warned else "ROWS_INSIDE",
        message=(
            f"{outside} of {worst} ({format_share(shares[worst])}) dated outside the "
            "experiment and left out."
            if facts.outside.get(worst, 0)
            else "Every row is dated within the experiment."
        ),
        value=shares[worst],
        threshold=WARN_SHARE,
        details={"outside": dict(facts.outside)},
    )
