with quarantine as (

    select * from {{ input('exp', 'quarantine') }}

),

assignments as (

    select * from {{ ref('experiment_assignments') }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

),

rows_without_value as (

    select
        quarantine.experiment_id,
        experiments.watermark_us,
        {{ json_text('quarantine.payload', 'user_id') }} as user_id,
        {{ json_text('quarantine.payload', 'metric_name') }} as metric_name,
        {{ epoch_us(instant_of_text(json_text('quarantine.payload', 'outcome_ts'))) }} as outcome_us
    from quarantine
    inner join experiments
        on quarantine.experiment_id = experiments.experiment_id
    where
        quarantine.table_name = 'outcomes'
        and quarantine.reason in ('MISSING_VALUE', 'NOT_A_NUMBER', 'NOT_FINITE', 'VALUE_OUT_OF_RANGE')

)

select
    assignments.experiment_id,
    assignments.unit_no,
    assignments.variant,
    rows_without_value.metric_name,
    rows_without_value.outcome_us,
    rows_without_value.outcome_us - assignments.exposure_us as offset_us
from rows_without_value
inner join assignments
    on
        rows_without_value.experiment_id = assignments.experiment_id
        and rows_without_value.user_id = assignments.user_id
where
    assignments.is_in_analysis
    and rows_without_value.outcome_us < rows_without_value.watermark_us
