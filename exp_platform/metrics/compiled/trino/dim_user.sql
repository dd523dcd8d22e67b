with events as (

    select
        *,
        cast(round(to_unixtime(event_ts) * 1e6) as bigint) as event_us
    from exp.fact_event

)

-- what was last known: the value of the last event that has one
select
    namespace,
    user_id,
    bool_or(is_known) as is_known,
    min(event_ts) as first_seen_ts,
    max(event_ts) as last_seen_ts,
    count(*) as n_events,
    max_by(country, row(event_us, country)) filter (where country is not null) as country,
    max_by(device, row(event_us, device)) filter (where device is not null) as device,
    max_by(platform, row(event_us, platform)) filter (where platform is not null) as platform,
    max_by(app, row(event_us, app)) filter (where app is not null) as app,
    max_by(app_version, row(event_us, app_version)) filter (where app_version is not null) as app_version
from events
group by namespace, user_id
