-- Every UTC day of an experiment, from its first exposure to its watermark, also those on
-- which nothing arrived. A day that the start or the watermark cuts is not whole: what
-- happened on it cannot be compared with other days. Undated input has a single day.
with spans as (

    select
        experiments.experiment_id,
        experiments.start_us,
        experiments.watermark_us,
        min({{ day_number('assignments.exposure_us') }}) as first_day,
        case
            when experiments.is_dated then {{ day_number('experiments.watermark_us - 1') }}
            else min({{ day_number('assignments.exposure_us') }})
        end as last_day
    from {{ ref('experiment_assignments') }} as assignments
    inner join {{ input('run', 'run_experiments') }} as experiments
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
from {{ each_day('spans') }}
