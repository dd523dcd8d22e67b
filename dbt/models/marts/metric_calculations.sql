with assignments as (

    select * from {{ ref('experiment_assignments') }}

),

observations as (

    select * from {{ ref('metric_observations') }}

),

metrics as (

    select * from {{ source('run', 'run_metrics') }}

),

experiments as (

    select * from {{ source('run', 'run_experiments') }}

)

select
    assignments.experiment_id,
    metrics.metric_name,
    assignments.user_id,
    assignments.unit_no,
    assignments.variant,
    assignments.is_new,
    coalesce(observations.value, 0.0) as value,
    case
        when metrics.has_denominator then coalesce(observations.denominator, 0.0)
    end as denominator,
    case
        when metrics.has_covariate and not assignments.is_new
            then coalesce(observations.covariate, 0.0)
        when metrics.has_covariate then 0.0
    end as covariate
from assignments
inner join experiments
    on assignments.experiment_id = experiments.experiment_id
inner join metrics
    on assignments.experiment_id = metrics.experiment_id
left join observations
    on
        assignments.unit_no = observations.unit_no
        and metrics.metric_name = observations.metric_name
where
    assignments.is_in_analysis
    and assignments.exposure_us + metrics.maturity_us <= experiments.watermark_us
order by metrics.metric_name, assignments.unit_no
