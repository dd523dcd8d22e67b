with source as (

    select * from exp.outcomes

),

experiments as (

    select * from exp_run.run_experiments

)

select
    source.experiment_id,
    source.user_id,
    source.metric_name,
    source.value,
    unix_micros(source.outcome_ts) as outcome_us
from source
inner join experiments
    on source.experiment_id = experiments.experiment_id
