-- Every level of every slice with all registered arms: observed units beside planned ones.
with counts as (

    select
        split_counts.*,
        variants.planned_share
    from {{ ref('int_split_counts') }} as split_counts
    inner join {{ input('run', 'run_variants') }} as variants
        on
            split_counts.experiment_id = variants.experiment_id
            and split_counts.variant = variants.variant

),

levels as (

    select
        experiment_id,
        slice,
        level,
        sum(n_units) as total
    from counts
    group by experiment_id, slice, level

)

select
    levels.experiment_id,
    levels.slice,
    levels.level,
    variants.variant,
    cast(coalesce(counts.n_units, 0) as bigint) as observed,
    variants.planned_share,
    variants.planned_share * levels.total as expected,
    power(coalesce(counts.n_units, 0) - variants.planned_share * levels.total, 2)
    / (variants.planned_share * levels.total) as chi_square_term
from levels
inner join {{ input('run', 'run_variants') }} as variants
    on levels.experiment_id = variants.experiment_id
left join counts
    on
        levels.experiment_id = counts.experiment_id
        and levels.slice = counts.slice
        and levels.level = counts.level
        and variants.variant = counts.variant
where levels.total > 0
