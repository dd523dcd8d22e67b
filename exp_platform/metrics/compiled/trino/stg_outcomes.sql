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
    cast(round(to_unixtime(source.outcome_ts) * 1e6) as bigint) as outcome_us
from source
inner join experiments
    on source.experiment_id = experiments.experiment_id
