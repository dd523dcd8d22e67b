-- Every UTC day of an experiment, from its first exposure to its watermark, also those on
-- which nothing arrived. A day that the start or the watermark cuts is not whole: what
-- happened on it cannot be compared with other days. Undated input has a single day.
with spans as (

    select
        experiments.experiment_id,
        experiments.start_us,
        experiments.watermark_us,
        min(cast(floor(cast(assignments.exposure_us as double) / 86400000000) as bigint)) as first_day,
        case
            when experiments.is_dated then cast(floor(cast(experiments.watermark_us - 1 as double) / 86400000000) as bigint)
            else min(cast(floor(cast(assignments.exposure_us as double) / 86400000000) as bigint))
        end as last_day
    from exp_run.experiment_assignments as assignments
    inner join exp_run.run_experiments as experiments
        on assignments.experiment_id = experiments.experiment_id
    where
        assignments.is_in_analysis
        and assignments.exposure_us < experiments.watermark_us
    group by experiments.experiment_id, experiments.start_us, experiments.watermark_us, experiments.is_dated

)

select
    spans.experiment_id,
    days.day,
    days.day * 86400000000 >= spans.start_us
    and (days.day + 1) * 86400000000 <= spans.watermark_us as is_whole,
    (days.day + 1) * 86400000000 <= spans.watermark_us as is_over
from spans lateral view explode(sequence(spans.first_day, spans.last_day)) days as day
