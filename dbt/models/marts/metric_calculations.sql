with assignments as (

    select * from {{ ref('experiment_assignments') }}

),

observations as (

    select * from {{ ref('metric_observations') }}

),

incomplete_units as (

    select * from {{ ref('int_incomplete_units') }}

),

metrics as (

    select * from {{ input('run', 'run_metrics') }}

),

complete_units as (

    select
        assignments.experiment_id,
        metrics.metric_name,
        assignments.user_id,
        assignments.unit_no,
        assignments.variant,
        metrics.denominator is not null as has_denominator,
        metrics.covariate is not null as has_covariate,
        coalesce(
            incomplete_units.is_covariate_missing
            or assignments.first_seen_us
            >= assignments.exposure_us - assignments.exposure_us % metrics.grain_us - metrics.lookback_us,
            false
        ) as is_covariate_unknown
    from assignments
    inner join metrics
        on assignments.experiment_id = metrics.experiment_id
    left join incomplete_units
        on
            assignments.unit_no = incomplete_units.unit_no
            and metrics.metric_name = incomplete_units.metric_name
    where
        assignments.is_in_analysis
        and not coalesce(incomplete_units.is_immature or incomplete_units.is_value_missing, false)

)

-- a unit without a row has the value 0
select
    complete_units.experiment_id,
    complete_units.metric_name,
    complete_units.user_id,
    complete_units.unit_no,
    complete_units.variant,
    complete_units.is_covariate_unknown,
    coalesce(observations.value, 0.0) as value,
    case
        when complete_units.has_denominator then coalesce(observations.denominator, 0.0)
    end as denominator,
    case
        when complete_units.has_covariate and complete_units.is_covariate_unknown then 0.0
        when complete_units.has_covariate then coalesce(observations.covariate, 0.0)
    end as covariate
from complete_units
left join observations
    on
        complete_units.unit_no = observations.unit_no
        and complete_units.metric_name = observations.metric_name
order by complete_units.metric_name, complete_units.unit_no
