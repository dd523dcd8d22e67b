-- Each day beside the medians of the seven days before it, which hold every weekday once.
-- Days without anything are no history.
with series as (

    select * from exp_run.int_day_series

),

pairs as (

    select
        series.experiment_id,
        series.metric_name,
        series.variant,
        series.reference,
        series.day,
        before.followed,
        before.n_active * 1e0 / before.n as active_share,
        row_number() over (
            partition by series.experiment_id, series.metric_name, series.variant, series.reference, series.day
            order by before.followed
        ) as followed_place,
        row_number() over (
            partition by series.experiment_id, series.metric_name, series.variant, series.reference, series.day
            order by before.n_active * 1e0 / before.n
        ) as share_place,
        count(*) over (
            partition by series.experiment_id, series.metric_name, series.variant, series.reference, series.day
        ) as n_before
    from series
    inner join series as before
        on
            series.experiment_id = before.experiment_id
            and series.metric_name = before.metric_name
            and series.variant = before.variant
            and series.reference = before.reference
            and before.day between series.day - 7 and series.day - 1
    where before.n_active > 0

)

select
    experiment_id,
    metric_name,
    variant,
    reference,
    day,
    n_before,
    avg(case when 2 * followed_place between n_before and n_before + 2 then followed end) as usual,
    avg(case when 2 * share_place between n_before and n_before + 2 then active_share end) as usual_share
from pairs
group by experiment_id, metric_name, variant, reference, day, n_before
