with events as (

    select * from exp_run.stg_events

)

-- an exposure event names its experiment; several experiments may share a namespace
select
    experiment_id,
    user_id,
    coalesce(element_at(properties, 'variant'), element_at(properties, 'variation_name')) as variant,
    event_ts as exposure_ts,
    try(transform_values(
    cast(json_parse(element_at(properties, 'attributes')) as map(varchar, json)),
    (key, value) -> coalesce(json_extract_scalar(value, '$'), nullif(json_format(value), 'null'))
)) as attributes,
    try(cast(regexp_replace(regexp_replace(regexp_replace(regexp_replace(element_at(properties, 'first_seen_ts'), '(\d)[Tt](\d)', '$1 $2'), '^(\d{4}-\d\d-\d\d)$', '$1 00:00:00'), '(\.\d{6})\d+', '$1'), '([+-]\d\d)$', '$1:00') as timestamp(6) with time zone)) as first_seen_ts,
    coalesce(element_at(properties, 'feature'), experiment_id) as feature_key
from events
where
    lower(replace(event_name, ' ', '_')) in ('experiment_viewed', '$experiment_viewed', '$exposure')
    and element_at(properties, 'experiment_id') = experiment_id
