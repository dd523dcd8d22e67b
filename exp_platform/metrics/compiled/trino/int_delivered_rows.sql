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
        json_extract_scalar(quarantine.payload, '$.user_id') as user_id,
        json_extract_scalar(quarantine.payload, '$.variant') as variant,
        cast(round(to_unixtime(try(cast(regexp_replace(regexp_replace(regexp_replace(regexp_replace(json_extract_scalar(quarantine.payload, '$.exposure_ts'), '(\d)[Tt](\d)', '$1 $2'), '^(\d{4}-\d\d-\d\d)$', '$1 00:00:00'), '(\.\d{6})\d+', '$1'), '([+-]\d\d)$', '$1:00') as timestamp(6) with time zone))) * 1e6) as bigint) as exposure_us,
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
where trim(user_id, U&'\0020\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\202f\205f\3000') <> ''
