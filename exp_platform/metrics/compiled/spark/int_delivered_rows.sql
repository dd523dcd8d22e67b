-- Every exposure row as delivered, accepted or set aside. A copy is a row that says again
-- what an accepted one said; any other rejected row is not valid.
with quarantine as (

    select * from exp.quarantine

),

exposures as (

    select * from exp_run.stg_exposures

),

experiments as (

    select * from exp_run.run_experiments

),

set_aside as (

    select
        quarantine.experiment_id,
        get_json_object(quarantine.payload, '$.user_id') as user_id,
        get_json_object(quarantine.payload, '$.variant') as variant,
        unix_micros(try_cast(get_json_object(quarantine.payload, '$.exposure_ts') as timestamp)) as exposure_us,
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
where btrim(user_id, '\u0020\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000') <> ''
