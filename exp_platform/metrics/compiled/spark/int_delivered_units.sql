with quarantine as (

    select * from exp.quarantine

),

exposures as (

    select * from exp_run.stg_exposures

),

experiments as (

    select * from exp_run.run_experiments

),

quarantined as (

    select
        quarantine.experiment_id,
        get_json_object(quarantine.payload, '$.user_id') as user_id,
        get_json_object(quarantine.payload, '$.variant') as variant,
        unix_micros(try_cast(get_json_object(quarantine.payload, '$.exposure_ts') as timestamp)) as exposure_us
    from quarantine
    inner join experiments
        on quarantine.experiment_id = experiments.experiment_id
    where quarantine.table_name = 'exposures'

),

rows_delivered as (

    select experiment_id, user_id, variant, exposure_us, 1 as is_valid
    from exposures
    union all
    select experiment_id, user_id, variant, exposure_us, 0 as is_valid
    from quarantined
    where trim(user_id) <> ''

),

units as (

    select
        experiment_id,
        user_id,
        min(variant) as variant,
        max(variant) as other_variant,
        max(is_valid) as is_valid
    from rows_delivered
    group by experiment_id, user_id

),

-- only a unit with several arms needs its rows in order
ordered as (

    select
        rows_delivered.experiment_id,
        rows_delivered.user_id,
        rows_delivered.variant,
        rows_delivered.is_valid,
        row_number() over (
            partition by rows_delivered.experiment_id, rows_delivered.user_id
            order by rows_delivered.exposure_us nulls last, rows_delivered.variant
        ) as delivered_order,
        row_number() over (
            partition by rows_delivered.experiment_id, rows_delivered.user_id
            order by rows_delivered.is_valid desc, rows_delivered.exposure_us, rows_delivered.variant
        ) as valid_order
    from rows_delivered
    inner join units
        on
            rows_delivered.experiment_id = units.experiment_id
            and rows_delivered.user_id = units.user_id
            and units.variant <> units.other_variant
    where rows_delivered.variant is not null

),

first_arms as (

    select
        experiment_id,
        user_id,
        max(case when delivered_order = 1 then variant end) as delivered_variant,
        max(case when valid_order = 1 then variant end) as valid_variant
    from ordered
    group by experiment_id, user_id

)

select
    units.experiment_id,
    units.user_id,
    coalesce(first_arms.delivered_variant, units.variant, 'unknown') as delivered_variant,
    case
        when units.is_valid = 1 then coalesce(first_arms.valid_variant, units.variant)
    end as valid_variant
from units
left join first_arms
    on
        units.experiment_id = first_arms.experiment_id
        and units.user_id = first_arms.user_id
