with events as (

    select * from {{ ref('stg_events') }}

)

-- an exposure event names its experiment; several experiments may share a namespace
select
    experiment_id,
    user_id,
    coalesce({{ map_value('properties', "'variant'") }}, {{ map_value('properties', "'variation_name'") }}) as variant,
    event_ts as exposure_ts,
    {{ json_map(map_value('properties', "'attributes'")) }} as attributes,
    {{ instant_of_text(map_value('properties', "'first_seen_ts'")) }} as first_seen_ts,
    coalesce({{ map_value('properties', "'feature'") }}, experiment_id) as feature_key
from events
where
    lower(replace(event_name, ' ', '_')) in ('experiment_viewed', '$experiment_viewed', '$exposure')
    and {{ map_value('properties', "'experiment_id'") }} = experiment_id
