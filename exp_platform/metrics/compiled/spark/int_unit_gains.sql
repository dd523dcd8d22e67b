-- What a day added to a unit's value where that is not the day's own value: of what counts
-- once the first time, of a largest value what the day raised it by, under a cap what was
-- left of it. A day may also take away: the largest of negative values, or a refund.
with metrics as (

    select * from exp_run.run_metrics

),

unit_days as (

    select
        unit_days.*,
        metrics.day_rule,
        metrics.cap
    from exp_run.metric_unit_days as unit_days
    inner join metrics
        on
            unit_days.experiment_id = metrics.experiment_id
            and unit_days.metric_name = metrics.metric_name
    where
        metrics.day_rule in ('any', 'max')
        or metrics.day_rule = 'sum' and metrics.cap is not null

),

reached as (

    select
        experiment_id,
        metric_name,
        unit_no,
        outcome_day,
        case
            when day_rule = 'max' then max(value) over days_so_far
            else least(sum(uncapped_value) over days_so_far, cap)
        end as value_so_far
    from unit_days
    where day_rule <> 'any'
    window days_so_far as (partition by experiment_id, metric_name, unit_no order by outcome_day)

)

select
    experiment_id,
    metric_name,
    unit_no,
    outcome_day,
    value_so_far - coalesce(
        lag(value_so_far) over (partition by experiment_id, metric_name, unit_no order by outcome_day), 0.0
    ) as gain
from reached
union all
select
    experiment_id,
    metric_name,
    unit_no,
    min(outcome_day) as outcome_day,
    max(value) as gain
from unit_days
where day_rule = 'any' and value > 0
group by experiment_id, metric_name, unit_no
