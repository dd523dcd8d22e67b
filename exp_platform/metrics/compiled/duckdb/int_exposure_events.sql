with events as (

    select * from exp_run.stg_events

)

-- an exposure event names its experiment; several experiments may share a namespace
select
    experiment_id,
    user_id,
    coalesce(properties['variant'], properties['variation_name']) as variant,
    event_ts as exposure_ts,
    try_cast(try_cast(properties['attributes'] as json) as map(varchar, varchar)) as attributes,
    try_cast(properties['first_seen_ts'] as timestamptz) as first_seen_ts,
    coalesce(properties['feature'], experiment_id) as feature_key
from events
where
    lower(replace(event_name, ' ', '_')) in ('experiment_viewed', '$experiment_viewed', '$exposure')
    and properties['experiment_id'] = experiment_id
