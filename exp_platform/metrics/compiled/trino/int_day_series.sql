-- What is followed from day to day, with its sampling variance: the metric itself, and its
-- ratio to the other variants together on the same day. Times `scale` it is the metric.
with days as (

    select * from exp_run.int_settled_days

),

elsewhere as (

    select
        days.experiment_id,
        days.metric_name,
        days.variant,
        days.day,
        nullif(sum(others.n * others.value) / sum(others.n), 0) as value,
        sum(others.n * others.n * others.squared_error) / (sum(others.n) * sum(others.n)) as squared_error
    from days
    inner join days as others
        on
            days.experiment_id = others.experiment_id
            and days.metric_name = others.metric_name
            and days.day = others.day
            and days.variant <> others.variant
    group by days.experiment_id, days.metric_name, days.variant, days.day

)

select
    *,
    'history' as reference,
    1e0 as scale,
    value as followed,
    squared_error as followed_error
from days
union all
select
    days.*,
    'other_variants' as reference,
    elsewhere.value as scale,
    days.value / elsewhere.value as followed,
    (
        days.squared_error
        + power(days.value / elsewhere.value, 2) * elsewhere.squared_error
    ) / (elsewhere.value * elsewhere.value) as followed_error
from days
inner join elsewhere
    on
        days.experiment_id = elsewhere.experiment_id
        and days.metric_name = elsewhere.metric_name
        and days.variant = elsewhere.variant
        and days.day = elsewhere.day
where elsewhere.value is not null
