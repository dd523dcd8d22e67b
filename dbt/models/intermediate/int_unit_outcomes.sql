with outcomes as (

    select * from {{ ref('stg_outcomes') }}

),

assignments as (

    select * from {{ ref('experiment_assignments') }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

)

select
    assignments.experiment_id,
    assignments.unit_no,
    assignments.variant,
    outcomes.metric_name,
    outcomes.value,
    outcomes.outcome_us,
    outcomes.outcome_us - assignments.exposure_us as offset_us
from outcomes
inner join assignments
    on
        outcomes.experiment_id = assignments.experiment_id
        and outcomes.user_id = assignments.user_id
inner join experiments
    on assignments.experiment_id = experiments.experiment_id
where
    assignments.is_in_analysis
    and outcomes.outcome_us < experiments.watermark_us
