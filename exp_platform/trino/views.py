"""Views for people and dashboards: names that stay, over tables that may grow columns."""

from contextlib import closing

from exp_platform.trino.engine import CATALOG, connect, our_errors

SCHEMA = "exp_views"
VIEWS = {
    "decisions": """\
select
    registry.experiment_id, registry.owner, registry.hypothesis, registry.start_ts,
    registry.end_ts, registry.control, decisions.treatment, decisions.outcome,
    decisions.verdict, decisions.rule, decisions.rationale, decisions.would_change,
    decisions.computed_at
from iceberg.exp.experiment_registry as registry
left join iceberg.exp.decisions as decisions
    on registry.experiment_id = decisions.experiment_id""",
    "estimates": """\
select
    experiment_id, metric_name, segment, method, role, control, treatment, status, reason,
    n_control, n_treatment, control_mean, treatment_mean, difference, ci_lower, ci_upper,
    relative_lift, relative_ci_lower, relative_ci_upper, p_value, p_value_adjusted, alpha,
    computed_at
from iceberg.exp.analysis_results
where look is null and role <> 'diagnostic'""",
    "checks": """\
select
    experiment_id, check_name, subject, status, reason, message, value, threshold, can_fail,
    computed_at
from iceberg.exp.check_results""",
    "daily": """\
select experiment_id, metric_name, variant, day, n, n_active, mean, variance
from iceberg.exp.metric_aggregates_daily""",
}


def create_views(url: str) -> tuple[str, ...]:
    """Create or replace the views on a Trino server.

    Args:
        url: of the server, `http://host:port`; it reads a lake with published tables.

    Returns:
        Qualified names.

    Raises:
        UsageError: the client is not installed.
        StorageError: the server does not answer, or nothing is published yet.
    """
    names = tuple(f"{CATALOG}.{SCHEMA}.{name}" for name in VIEWS)
    with closing(connect(url, SCHEMA)) as connection:
        statements = [f"create schema if not exists {CATALOG}.{SCHEMA}"]
        for name, select in zip(names, VIEWS.values(), strict=True):
            statements.append(f"create or replace view {name} as\n{select}")
        for statement in statements:
            with our_errors(statement):
                connection.cursor().execute(statement).fetchall()
    return names
