"""Storing checks: one table, several stages, each owner of its checks' rows."""

from collections.abc import Collection, Iterable

from exp_platform.pipelines.run import Run
from exp_platform.records import CheckResult

TABLE = "check_results"


def store_checks(
    run: Run, checks: Iterable[CheckResult], names: Collection[str]
) -> None:
    """Replace the rows of some checks and keep the experiment's other rows."""
    kept = [c for c in run.load(TABLE, CheckResult) if c.check_name not in names]
    run.store(TABLE, sort_checks([*kept, *checks]))


def sort_checks(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """Checks in the order in which they are stored."""
    return sorted(checks, key=lambda check: (check.check_name, check.subject))
