with outcomes as (

    select * from {{ ref('stg_outcomes') }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

),

-- a unit below the daily limit in total cannot be above it on one day
busy_units as (

    select
        experiment_id,
        user_id,
        count(*) as n_rows
    from outcomes
    group by experiment_id, user_id

),

candidates as (

    select
        busy_units.experiment_id,
        busy_units.user_id,
        experiments.watermark_us,
        experiments.bot_rows_per_day
    from busy_units
    inner join experiments
        on busy_units.experiment_id = experiments.experiment_id
    where busy_units.n_rows > experiments.bot_rows_per_day

),

busy_days as (

    select
        outcomes.experiment_id,
        outcomes.user_id,
        candidates.bot_rows_per_day,
        count(*) as n_rows
    from outcomes
    inner join candidates
        on
            outcomes.experiment_id = candidates.experiment_id
            and outcomes.user_id = candidates.user_id
    where outcomes.outcome_us < candidates.watermark_us
    group by
        outcomes.experiment_id,
        outcomes.user_id,
        candidates.bot_rows_per_day,
        {{ day_number('outcomes.outcome_us') }}

)

select distinct
    experiment_id,
    user_id
from busy_days
where n_rows > bot_rows_per_day
