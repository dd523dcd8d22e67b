with delivered_rows as (

    select * from exp_run.int_delivered_rows

),

units as (

    select
        experiment_id,
        user_id,
        min(variant) as variant,
        max(variant) as other_variant,
        count(*) as n_rows,
        sum(is_accepted + is_copy) as n_valid_rows,
        sum(is_accepted) as n_distinct_rows
    from delivered_rows
    group by experiment_id, user_id

),

-- only a unit with several arms needs its rows in order
ordered as (

    select
        delivered_rows.experiment_id,
        delivered_rows.user_id,
        delivered_rows.variant,
        row_number() over (
            partition by delivered_rows.experiment_id, delivered_rows.user_id
            order by delivered_rows.exposure_us nulls last, delivered_rows.variant
        ) as delivered_order,
        row_number() over (
            partition by delivered_rows.experiment_id, delivered_rows.user_id
            order by delivered_rows.is_accepted desc, delivered_rows.exposure_us, delivered_rows.variant
        ) as valid_order
    from delivered_rows
    inner join units
        on
            delivered_rows.experiment_id = units.experiment_id
            and delivered_rows.user_id = units.user_id
            and units.variant <> units.other_variant
    where delivered_rows.variant is not null

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
    case when units.n_valid_rows > 0 then coalesce(first_arms.valid_variant, units.variant) end as valid_variant,
    units.n_rows,
    cast(units.n_valid_rows as bigint) as n_valid_rows,
    cast(units.n_distinct_rows as bigint) as n_distinct_rows
from units
left join first_arms
    on
        units.experiment_id = first_arms.experiment_id
        and units.user_id = first_arms.user_id
