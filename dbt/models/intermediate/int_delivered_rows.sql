-- Every exposure row as delivered, accepted or set aside. A copy is a row that says again
-- what an accepted one said; any other rejected row is not valid.
with quarantine as (

    select * from {{ input('exp', 'quarantine') }}

),

exposures as (

    select * from {{ ref('stg_exposures') }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

),

set_aside as (

    select
        quarantine.experiment_id,
        {{ json_text('quarantine.payload', 'user_id') }} as user_id,
        {{ json_text('quarantine.payload', 'variant') }} as variant,
        {{ epoch_us(instant_of_text(json_text('quarantine.payload', 'exposure_ts'))) }} as exposure_us,
        quarantine.reason = 'DUPLICATE_ROW' as is_copy
    from quarantine
    inner join experiments
        on quarantine.experiment_id = experiments.experiment_id
    where quarantine.table_name = 'exposures'

)

select
    experiment_id,
    user_id,
    variant,
    exposure_us,
    1 as is_accepted,
    0 as is_copy
from exposures
union all
select
    experiment_id,
    user_id,
    variant,
    exposure_us,
    0 as is_accepted,
    case when is_copy then 1 else 0 end as is_copy
from set_aside
where {{ trimmed('user_id') }} <> ''
