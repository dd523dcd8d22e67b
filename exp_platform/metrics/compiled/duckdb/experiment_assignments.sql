with first_exposures as (

    select * from exp_run.int_first_exposures

),

bot_units as (

    select * from exp_run.int_bot_units

),

experiments as (

    select * from exp_run.run_experiments

),

profiles as (

    select * from exp_run.int_unit_profiles

),

flagged as (

    select
        first_exposures.*,
        profiles.profile,
        experiments.exclude_bots,
        bot_units.user_id is not null as is_bot,
        coalesce(
            first_exposures.first_seen_us
            >= first_exposures.exposure_us - experiments.lookback_us,
            false
        ) as is_new,
        coalesce(
            first_exposures.attributes[experiments.cluster_attribute],
            first_exposures.user_id
        ) as cluster_id
    from first_exposures
    inner join experiments
        on first_exposures.experiment_id = experiments.experiment_id
    left join bot_units
        on
            first_exposures.experiment_id = bot_units.experiment_id
            and first_exposures.user_id = bot_units.user_id
    left join profiles
        on
            first_exposures.experiment_id = profiles.experiment_id
            and first_exposures.user_id = profiles.user_id

)

select
    cast(row_number() over (order by experiment_id, user_id) as bigint) as unit_no,
    experiment_id,
    user_id,
    variant,
    exposure_ts,
    exposure_us,
    first_seen_us,
    n_exposures,
    is_crossover,
    is_bot,
    is_new,
    not (is_bot and exclude_bots) as is_in_analysis,
    cluster_id,
    case
        when profile is null then attributes
        when attributes is null then profile
        else map_concat(attributes, profile)
    end as attributes
from flagged
order by unit_no
