with assignments as (

    select * from {{ ref('experiment_assignments') }}

),

segments as (

    select * from {{ ref('unit_segments') }}

),

metrics as (

    select * from {{ input('run', 'run_metrics') }}

),

incomplete_units as (

    select * from {{ ref('int_incomplete_units') }}

),

sizes as (

    select
        assignments.experiment_id,
        assignments.variant,
        segments.segment,
        count(*) as n_units
    from assignments
    inner join segments
        on assignments.unit_no = segments.unit_no
    where assignments.is_in_analysis
    group by assignments.experiment_id, assignments.variant, segments.segment

),

left_out as (

    select
        incomplete_units.experiment_id,
        incomplete_units.metric_name,
        assignments.variant,
        segments.segment,
        sum(case when incomplete_units.is_immature then 1 else 0 end) as n_immature,
        sum(
            case
                when incomplete_units.is_value_missing and not incomplete_units.is_immature
                    then 1
                else 0
            end
        ) as n_missing
    from incomplete_units
    inner join assignments
        on incomplete_units.unit_no = assignments.unit_no
    inner join segments
        on incomplete_units.unit_no = segments.unit_no
    group by
        incomplete_units.experiment_id,
        incomplete_units.metric_name,
        assignments.variant,
        segments.segment

)

select
    sizes.experiment_id,
    metrics.metric_name,
    sizes.variant,
    sizes.segment,
    sizes.n_units,
    cast(coalesce(left_out.n_immature, 0) as bigint) as n_immature,
    cast(coalesce(left_out.n_missing, 0) as bigint) as n_missing
from sizes
inner join metrics
    on sizes.experiment_id = metrics.experiment_id
left join left_out
    on
        sizes.experiment_id = left_out.experiment_id
        and metrics.metric_name = left_out.metric_name
        and sizes.variant = left_out.variant
        and sizes.segment = left_out.segment
