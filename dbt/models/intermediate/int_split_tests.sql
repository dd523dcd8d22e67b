{{ config(materialized='view') }}
-- Pearson's chi-square of each level, and its p after Holm over the levels of the slice.
-- There is no p where an arm expects fewer than five units, where whole clusters were
-- assigned (their units were not split one by one), where nobody split anything at random,
-- nor on a cumulated day: days that are looked at again and again need the sequential test
-- in Python.
with levels as (

    select
        experiment_id, slice, level,
        count(*) - 1 as df,
        min(expected) as smallest_expected,
        sum(chi_square_term) as chi_square,
        sqrt(sum(chi_square_term)) as root
    from {{ ref('int_split_levels') }}
    group by experiment_id, slice, level

),

tails as (

    select
        *,
        {{ normal_tail('root') }} as root_tail
    from levels

),

p_values as (

    select
        tails.*,
        case
            when
                smallest_expected >= 5 and slice <> 'cumulative_day'
                and experiments.cluster_attribute = '' and experiments.assignment = 'randomised'
                then {{ chi_square_tail('chi_square', 'root', 'root_tail', 'df') }}
        end as p_value
    from tails
    inner join {{ input('run', 'run_experiments') }} as experiments
        on tails.experiment_id = experiments.experiment_id

),

-- Holm: the smallest p times all levels, the next times one less, never falling
ranked as (

    select
        *,
        count(p_value) over (partition by experiment_id, slice) + 1 - row_number() over (
            partition by experiment_id, slice order by p_value nulls last, level
        ) as n_left
    from p_values

)

select
    experiment_id, slice, level, chi_square, df, p_value,
    case
        when p_value is not null
            then least(1e0, max(p_value * n_left) over (
                partition by experiment_id, slice order by n_left desc rows between unbounded preceding and current row
            ))
    end as p_value_adjusted
from ranked
