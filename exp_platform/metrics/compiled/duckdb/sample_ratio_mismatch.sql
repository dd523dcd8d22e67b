with assignments as (

    select * from exp_run.experiment_assignments

),

variants as (

    select * from exp_run.run_variants

),

daily as (

    select
        experiment_id,
        cast(floor(cast(exposure_us as double) / 86400000000) as bigint) as exposure_day,
        variant,
        count(*) as n_units
    from assignments
    where is_in_analysis
    group by experiment_id, cast(floor(cast(exposure_us as double) / 86400000000) as bigint), variant

),

days as (

    select distinct
        experiment_id,
        exposure_day
    from daily

),

levels as (

    select
        days.experiment_id,
        days.exposure_day,
        variants.variant,
        variants.planned_share,
        coalesce(daily.n_units, 0) as n_units
    from days
    inner join variants
        on days.experiment_id = variants.experiment_id
    left join daily
        on
            days.experiment_id = daily.experiment_id
            and days.exposure_day = daily.exposure_day
            and variants.variant = daily.variant

),

cumulative as (

    select
        experiment_id,
        'cumulative_day' as slice,
        cast(cast(date '1970-01-01' + cast(exposure_day as integer) as date) as varchar) as level,
        variant,
        planned_share,
        cast(sum(n_units) over (
            partition by experiment_id, variant order by exposure_day
        ) as bigint) as observed,
        cast(sum(n_units) over (
            partition by experiment_id order by exposure_day
            range between unbounded preceding and current row
        ) as bigint) as total
    from levels

),

overall as (

    select
        levels.experiment_id,
        'overall' as slice,
        'all' as level,
        levels.variant,
        levels.planned_share,
        cast(sum(levels.n_units) as bigint) as observed,
        cast(sum(sum(levels.n_units)) over (partition by levels.experiment_id) as bigint) as total
    from levels
    group by levels.experiment_id, levels.variant, levels.planned_share

),

slices as (

    select * from overall
    union all
    select * from cumulative

)

select
    experiment_id,
    slice,
    level,
    variant,
    observed,
    planned_share,
    planned_share * total as expected,
    power(observed - planned_share * total, 2) / nullif(planned_share * total, 0) as chi_square_term
from slices
order by slice, level, variant
