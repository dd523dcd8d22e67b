with events as (

    select
        *,
        {{ epoch_us('event_ts') }} as event_us
    from {{ input('exp', 'fact_event') }}

)

-- what was last known: the value of the last event that has one
select
    namespace,
    user_id,
    bool_or(is_known) as is_known,
    min(event_ts) as first_seen_ts,
    max(event_ts) as last_seen_ts,
    count(*) as n_events,
    {{ last_known('country') }} as country,
    {{ last_known('device') }} as device,
    {{ last_known('platform') }} as platform,
    {{ last_known('app') }} as app,
    {{ last_known('app_version') }} as app_version
from events
group by namespace, user_id
