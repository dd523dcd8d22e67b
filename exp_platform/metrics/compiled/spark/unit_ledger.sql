-- Units by arm on their way into the metrics. A stage counts the units that pass it and
-- every earlier exclusion. Bots leave only when the plan says so, and units that met two
-- arms stay (intention to treat): such a stage is no exclusion, it counts what would be
-- left without them.
with arms as (

    select
        assignments.experiment_id, assignments.variant, experiments.exclude_bots,
        count(*) as n_units,
        sum(n_exposures) as n_rows,
        sum(case when is_bot then 0 else 1 end) as n_people,
        sum(case when is_bot then 0 else n_exposures end) as n_rows_people,
        sum(case when is_in_analysis then 1 else 0 end) as n_analysed,
        sum(case when is_in_analysis then n_exposures else 0 end) as n_rows_analysed,
        sum(case when is_in_analysis and not is_crossover then 1 else 0 end) as n_single,
        sum(case when is_in_analysis and not is_crossover then n_exposures else 0 end) as n_rows_single
    from exp_run.experiment_assignments as assignments
    inner join exp_run.run_experiments as experiments
        on assignments.experiment_id = experiments.experiment_id
    group by assignments.experiment_id, assignments.variant, experiments.exclude_bots

),

assigned_units as (

    select
        experiment_id, user_id,
        min_by(variant, struct(assigned_us, variant)) as variant,
        count(*) as n_rows
    from exp_run.stg_assignments
    group by experiment_id, user_id

),

stages as (

    select experiment_id, 'assigned' as stage, 1 as stage_order, '' as metric_name, variant, count(*) as n_units, sum(n_rows) as n_rows, true as is_exclusion
    from assigned_units
    group by experiment_id, variant
    union all
    select experiment_id, 'exposed' as stage, 2 as stage_order, '', delivered_variant, count(*), sum(n_rows), true
    from exp_run.int_delivered_units as delivered_units
    group by experiment_id, delivered_variant
    union all
    select experiment_id, 'valid' as stage, 3 as stage_order, '', valid_variant, count(*), sum(n_valid_rows), true
    from exp_run.int_delivered_units as delivered_units
    where n_valid_rows > 0
    group by experiment_id, valid_variant
    union all
    select experiment_id, 'deduplicated' as stage, 4 as stage_order, '', valid_variant, count(*), sum(n_distinct_rows), true
    from exp_run.int_delivered_units as delivered_units
    where n_distinct_rows > 0
    group by experiment_id, valid_variant
    union all
    select experiment_id, 'in_window' as stage, 5 as stage_order, '', variant, n_units, n_rows, true
    from arms
    union all
    select experiment_id, 'not_bot' as stage, 6 as stage_order, '', variant, n_people, n_rows_people, exclude_bots
    from arms
    union all
    select experiment_id, 'not_crossover' as stage, 7 as stage_order, '', variant, n_single, n_rows_single, false
    from arms
    union all
    select experiment_id, 'in_analysis' as stage, 8 as stage_order, '', variant, n_analysed, n_rows_analysed, true
    from arms
    union all
    select experiment_id, 'in_metric' as stage, 9 as stage_order, metric_name, variant, n, null, true
    from exp_run.metric_aggregates_overall
    where segment = 'all'

)

select
    experiment_id, stage, cast(stage_order as bigint) as stage_order, metric_name, variant,
    cast(n_units as bigint) as n_units,
    cast(n_rows as bigint) as n_rows,
    is_exclusion
from stages
order by stage_order, metric_name, variant
