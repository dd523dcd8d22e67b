with source as (

    select * from exp.assignments

),

experiments as (

    select * from exp_run.run_experiments

)

select
    source.experiment_id,
    source.user_id,
    source.variant,
    unix_micros(source.assigned_ts) as assigned_us
from source
inner join experiments
    on source.experiment_id = experiments.experiment_id
