-- Every calendar day from the first exposure to the watermark. A unit without a row on the
-- day counts as 0, so a mean is one of active units and zeros: the squares around it are
-- those inside the cohorts, those between them, and those of the zeros.
with cohort_days as (

    select * from {{ ref('int_cohort_days') }}

),

{{ cohort_moments('cohort_days', 'day') }}

select
    means.experiment_id,
    means.metric_name,
    means.variant,
    {{ date_of_day('means.day') }} as day,
    cast(means.n as bigint) as n,
    cast(means.n_active as bigint) as n_active,
    means.mean,
    squares.squares / nullif(means.n - 1.0, 0.0) as variance,
    means.exact_sum
from means
inner join squares
    on
        means.experiment_id = squares.experiment_id
        and means.metric_name = squares.metric_name
        and means.variant = squares.variant
        and means.day = squares.day
order by means.metric_name, means.variant, means.day
