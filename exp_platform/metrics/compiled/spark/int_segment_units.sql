with sizes as (

    select
        assignments.experiment_id,
        assignments.variant,
        segments.segment,
        count(*) as n_units
    from exp_run.experiment_assignments as assignments
    inner join exp_run.unit_segments as segments
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
    from exp_run.int_incomplete_units as incomplete_units
    inner join exp_run.experiment_assignments as assignments
        on incomplete_units.unit_no = assignments.unit_no
    inner join exp_run.unit_segments as segments
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
inner join exp_run.run_metrics as metrics
    on sizes.experiment_id = metrics.experiment_id
left join left_out
    on
        sizes.experiment_id = left_out.experiment_id
        and metrics.metric_name = left_out.metric_name
        and sizes.variant = left_out.variant
        and sizes.segment = left_out.segment
