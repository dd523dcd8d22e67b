with guardrails as (

    select
        unit_values.experiment_id,
        unit_values.user_id,
        cast(to_json(map(list(unit_values.metric_name order by unit_values.metric_name), list(case when metrics.denominator is null then unit_values.value else unit_values.value / nullif(unit_values.denominator, 0) end order by unit_values.metric_name))) as varchar) as guardrails
    from exp_run.metric_calculations as unit_values
    inner join exp_run.run_metrics as metrics
        on
            unit_values.experiment_id = metrics.experiment_id
            and unit_values.metric_name = metrics.metric_name
    where metrics.role = 'guardrail'
    group by unit_values.experiment_id, unit_values.user_id

),

numbered as (

    select
        exposures.*,
        exposures.exposure_us >= experiments.start_us
        and exposures.exposure_us < experiments.end_us as is_in_window,
        row_number() over (
            partition by exposures.experiment_id, exposures.user_id
            order by exposures.exposure_us, exposures.variant, cast(to_json(exposures.attributes) as varchar) nulls last
        ) as exposure_number
    from exp_run.stg_exposures as exposures
    inner join exp_run.run_experiments as experiments
        on exposures.experiment_id = experiments.experiment_id

),

ordered as (

    select
        *,
        is_in_window
        and row_number() over (
            partition by experiment_id, user_id, is_in_window order by exposure_number
        ) = 1 as is_first
    from numbered

)

-- guardrails stand on the first exposure only, so that they add up over rows
select
    ordered.experiment_id,
    ordered.user_id,
    ordered.variant,
    ordered.exposure_ts,
    cast(date '1970-01-01' + cast(cast(floor(cast(ordered.exposure_us as double) / 86400000000) as bigint) as integer) as date) as exposure_date,
    cast(ordered.exposure_number as bigint) as exposure_number,
    ordered.is_in_window,
    ordered.is_first,
    variants.planned_share as traffic_allocation,
    case when ordered.is_first then guardrails.guardrails end as guardrails,
    ordered.attributes
from ordered
inner join exp_run.run_variants as variants
    on
        ordered.experiment_id = variants.experiment_id
        and ordered.variant = variants.variant
left join guardrails
    on
        ordered.experiment_id = guardrails.experiment_id
        and ordered.user_id = guardrails.user_id
order by ordered.user_id, ordered.exposure_number
