-- Days on which a metric does not look like itself, or not like the other variants. A
-- spike or drop is sure (six robust standard deviations), large (twice or half of what was
-- expected, and of the same weekday a week before) and not of a few units. An empty day
-- has no active unit where twenty or more were expected, also by the same weekday of the
-- week before or after; a weekend without such a weekday is not judged.
with scores as (

    select * from exp_run.int_day_scores

),

weekdays as (

    select
        scores.*,
        earlier.value as week_before,
        case when scores.expected < 0 then -1e0 else 1e0 end as direction,
        scores.n * coalesce(
            earlier.n_active * 1e0 / earlier.n,
            later.n_active * 1e0 / later.n,
            case when mod(scores.day + 3, 7) >= 5 then 0e0 else 1e0 end
        ) as weekday_active
    from scores
    left join exp_run.int_settled_days as earlier
        on
            scores.experiment_id = earlier.experiment_id
            and scores.metric_name = earlier.metric_name
            and scores.variant = earlier.variant
            and scores.day - 7 = earlier.day
    left join exp_run.int_settled_days as later
        on
            scores.experiment_id = later.experiment_id
            and scores.metric_name = later.metric_name
            and scores.variant = later.variant
            and scores.day + 7 = later.day

),

judged as (

    select
        *,
        case
            when reference = 'history' and n_active = 0
                then
                    case
                        when n_before < 3 or least(expected_active, weekday_active) < 20 then null
                        when n_active_in_all = 0 then 'MISSING_DAY'
                        else 'ZERO'
                    end
            when n_before < 6 or expected_active < 100 then null
            when reference = 'history' and week_before is null then null
            when outward >= 6 and value * direction >= 2 * expected * direction and (reference <> 'history' or value * direction >= 2 * week_before * direction) then 'SPIKE'
            when outward <= -6 and value * direction <= expected * direction / 2 and (reference <> 'history' or value * direction <= week_before * direction / 2) then 'DROP'
        end as reason
    from (select *, score * direction * case when scale < 0 then -1e0 else 1e0 end as outward from weekdays) as sized

)

select
    experiment_id,
    metric_name,
    variant,
    date_add('day', day, date '1970-01-01') as day,
    reference,
    reason,
    value,
    expected,
    case when reason in ('ZERO', 'MISSING_DAY') then expected_active else outward end as score,
    case reason when 'SPIKE' then 6e0 when 'DROP' then -6e0 else 20e0 end as threshold,
    cast(n as bigint) as n,
    cast(n_active as bigint) as n_active
from judged
where reason is not null
order by metric_name, variant, judged.day, reference
