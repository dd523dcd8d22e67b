with exposures as (

    select * from exp_run.stg_exposures

),

experiments as (

    select * from exp_run.run_experiments

),

in_window as (

    select
        exposures.*,
        row_number() over (
            partition by exposures.experiment_id, exposures.user_id
            order by
                exposures.exposure_us,
                exposures.variant,
                exposures.first_seen_us nulls last,
                cast(to_json(exposures.attributes) as varchar) nulls last
        ) as exposure_order
    from exposures
    inner join experiments
        on exposures.experiment_id = experiments.experiment_id
    where
        exposures.exposure_us >= experiments.start_us
        and exposures.exposure_us < experiments.end_us

),

units as (

    select
        experiment_id,
        user_id,
        count(*) as n_exposures,
        count(distinct variant) as n_variants
    from in_window
    group by experiment_id, user_id

)

select
    in_window.experiment_id,
    in_window.user_id,
    in_window.variant,
    in_window.exposure_ts,
    in_window.exposure_us,
    in_window.first_seen_us,
    in_window.attributes,
    units.n_exposures,
    units.n_variants > 1 as is_crossover
from in_window
inner join units
    on
        in_window.experiment_id = units.experiment_id
        and in_window.user_id = units.user_id
where in_window.exposure_order = 1
