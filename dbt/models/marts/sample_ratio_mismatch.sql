-- Were the units split as planned, over all and in every slice? The test stands in each
-- row of its level. A slice only warns; what decides is the check SRM, which is made in
-- Python: exact where few units are expected, and valid at every look.
with levels as (

    select * from {{ ref('int_split_levels') }}

),

tests as (

    select * from {{ ref('int_split_tests') }}

)

select
    levels.experiment_id,
    levels.slice,
    levels.level,
    levels.variant,
    levels.observed,
    levels.planned_share,
    levels.expected,
    levels.chi_square_term,
    tests.chi_square,
    cast(tests.df as bigint) as df,
    tests.p_value,
    tests.p_value_adjusted
from levels
inner join tests
    on
        levels.experiment_id = tests.experiment_id
        and levels.slice = tests.slice
        and levels.level = tests.level
order by levels.slice, levels.level, levels.variant
