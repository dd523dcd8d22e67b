-- How far each day is from its usual value, in robust standard deviations: 1.4826 times
-- the median distance of the seven days from their median, and the sampling error.
with series as (

    select * from {{ ref('int_day_series') }}

),

medians as (

    select * from {{ ref('int_day_medians') }}

),

deviations as (

    select
        medians.experiment_id,
        medians.metric_name,
        medians.variant,
        medians.reference,
        medians.day,
        medians.n_before,
        abs(before.followed - medians.usual) as deviation,
        row_number() over (
            partition by medians.experiment_id, medians.metric_name, medians.variant, medians.reference, medians.day
            order by abs(before.followed - medians.usual)
        ) as place
    from medians
    inner join series as before
        on
            medians.experiment_id = before.experiment_id
            and medians.metric_name = before.metric_name
            and medians.variant = before.variant
            and medians.reference = before.reference
            and before.day between medians.day - 7 and medians.day - 1
    where before.n_active > 0

),

spreads as (

    select
        experiment_id,
        metric_name,
        variant,
        reference,
        day,
        1.4826 * avg(case when {{ is_middle('place', 'n_before') }} then deviation end) as spread
    from deviations
    group by experiment_id, metric_name, variant, reference, day

)

select
    series.*,
    medians.n_before,
    series.scale * medians.usual as expected,
    series.n * medians.usual_share as expected_active,
    (series.followed - medians.usual)
    / nullif(sqrt(spreads.spread * spreads.spread + series.followed_error), 0) as score
from series
inner join medians
    on
        series.experiment_id = medians.experiment_id
        and series.metric_name = medians.metric_name
        and series.variant = medians.variant
        and series.reference = medians.reference
        and series.day = medians.day
inner join spreads
    on
        series.experiment_id = spreads.experiment_id
        and series.metric_name = spreads.metric_name
        and series.variant = spreads.variant
        and series.reference = spreads.reference
        and series.day = spreads.day
