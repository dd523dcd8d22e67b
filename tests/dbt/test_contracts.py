"""What is broken on purpose fails the test that is there for it, and no other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("dbt")

FIRST_EXPOSURE = "user_id = (select min(user_id) from exp.exposures)"
TWICE = "insert into {table} select * from {table} limit 1"
EXPOSURES = ("source:exp_platform.exp.exposures", "stg_exposures")
OUTCOMES = ("source:exp_platform.exp.outcomes", "stg_outcomes")
RUN = "source:exp_platform.run"
RENAMED_ARM = "update exp_run.run_variants set variant = 'new' where rowid = 0"

BROKEN: dict[str, tuple[str, tuple[str, ...], set[str]]] = {
    "exposure without a unit": (
        f"update exp.exposures set user_id = null where {FIRST_EXPOSURE}",
        EXPOSURES,
        {"source_not_null_exp_exposures_user_id"},
    ),
    "exposure without an instant": (
        f"update exp.exposures set exposure_ts = null where {FIRST_EXPOSURE}",
        EXPOSURES,
        {"source_not_null_exp_exposures_exposure_ts"},
    ),
    "exposure to an arm nobody registered": (
        f"update exp.exposures set variant = 'beta' where {FIRST_EXPOSURE}",
        EXPOSURES,
        {"found_in_input_stg_exposures_variant__variant__run__run_variants"},
    ),
    "exposure to an arm that only other experiments have": (
        RENAMED_ARM,
        EXPOSURES,
        {"found_in_input_stg_exposures_variant__variant__run__run_variants"},
    ),
    "assignment to an arm that only other experiments have": (
        (
            "insert into exp.assignments by name select experiment_id, user_id, variant,"
            f" exposure_ts as assigned_ts from exp.exposures; {RENAMED_ARM}"
        ),
        ("source:exp_platform.exp.experiment_assignments", "stg_assignments"),
        {"found_in_input_stg_assignments_variant__variant__run__run_variants"},
    ),
    "outcome without a value": (
        "update exp.outcomes set value = null where rowid = 0",
        OUTCOMES,
        {"source_not_null_exp_outcomes_value"},
    ),
    "outcome that is not finite": (
        "update exp.outcomes set value = 'infinity' where rowid = 0",
        OUTCOMES,
        {
            "source_expression_holds_exp_outcomes_value__value_between_1_7e308_and_1_7e308"
        },
    ),
    "outcome of no metric": (
        "update exp.outcomes set metric_name = null where rowid = 0",
        OUTCOMES,
        {"source_not_null_exp_outcomes_metric_name"},
    ),
    "event whose value is not finite": (
        (
            "insert into exp.fact_event by name select 'e' as event_id, namespace,"
            " 'u' as user_id, 'visit' as event_name, now() as event_ts,"
            " 'nan'::double as value from exp_run.run_experiments limit 1"
        ),
        ("source:exp_platform.exp.fact_event", "stg_events"),
        {"expression_holds_stg_events_value__value_between_1_7e308_and_1_7e308"},
    ),
    "quarantined for an unknown reason": (
        "update exp.quarantine set reason = 'BECAUSE' where rowid = 0",
        ("source:exp_platform.exp.quarantine",),
        {
            (
                "source_accepted_values_exp_quarantine_reason__MISSING_KEY__WRONG_EXPERIMENT"
                "__BAD_TIMESTAMP__TIMESTAMP_OUT_OF_RANGE__UNKNOWN_VARIANT__MISSING_VALUE"
                "__NOT_A_NUMBER__NOT_FINITE__VALUE_OUT_OF_RANGE__DUPLICATE_ROW"
            )
        },
    ),
    "quarantined row told twice": (
        TWICE.format(table="exp.quarantine"),
        ("source:exp_platform.exp.quarantine",),
        {
            (
                "source_unique_combination_exp_quarantine_"
                "experiment_id__table_name__row_number"
            )
        },
    ),
    "experiment registered twice": (
        TWICE.format(table="exp_run.run_experiments"),
        (f"{RUN}.run_experiments",),
        {"source_unique_run_run_experiments_experiment_id"},
    ),
    "experiment that ends before it starts": (
        "update exp_run.run_experiments set end_us = start_us where rowid = 0",
        (f"{RUN}.run_experiments",),
        {"source_expression_holds_run_run_experiments_end_us__start_us_end_us"},
    ),
    "metric defined twice": (
        TWICE.format(table="exp_run.run_metrics"),
        (f"{RUN}.run_metrics",),
        {"source_unique_combination_run_run_metrics_experiment_id__metric_name"},
    ),
    "arm of no share": (
        "update exp_run.run_variants set planned_share = 0 where rowid = 0",
        (f"{RUN}.run_variants",),
        {
            (
                "source_expression_holds_run_run_variants_planned_share__"
                "planned_share_0_and_planned_share_1"
            )
        },
    ),
    "first exposure that stands twice": (
        TWICE.format(table="exp_run.int_first_exposures"),
        ("experiment_assignments",),
        {"unique_combination_experiment_assignments_experiment_id__user_id"},
    ),
    "unit measured twice": (
        TWICE.format(table="exp_run.metric_observations"),
        ("metric_calculations",),
        {"unique_combination_metric_calculations_experiment_id__metric_name__unit_no"},
    ),
    "unit whose value is no number": (
        "update exp_run.metric_observations set value = 'nan' where rowid = 0",
        ("metric_calculations",),
        {
            "expression_holds_metric_calculations_value__value_between_1_7e308_and_1_7e308"
        },
    ),
    "segment told twice": (
        TWICE.format(table="exp_run.int_segment_units"),
        ("metric_aggregates_overall",),
        {
            (
                "unique_combination_metric_aggregates_overall_"
                "experiment_id__metric_name__variant__segment"
            )
        },
    ),
    "count of another type": (
        "alter table exp_run.int_segment_units alter n_immature type integer",
        ("metric_aggregates_overall",),
        {"metric_aggregates_overall"},
    ),
    "arm of another experiment's plan": (
        "update exp_run.int_first_exposures set variant = 'beta' where rowid = 0",
        ("experiment_assignments",),
        {"found_in_input_experiment_assignments_variant__variant__run__run_variants"},
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_build_fails_in_the_test_of_the_broken_contract(
    name: str, warehouse: Any, broken: Callable[[str], Path], dbt: Any
) -> None:
    statement, selection, expected = BROKEN[name]
    database = broken(statement)
    found = dbt.build(*selection, database=database, generated=warehouse.generated)
    assert found == expected
