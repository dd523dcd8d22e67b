with source as (

    select * from exp_raw.user_events

),

cleaned as (

    select
        namespace,
        source_file,
        source_row,
        nullif(trim(event_id), '') as event_id,
        nullif(trim(event_name), '') as event_name,
        case when trim(anonymous_id) <> '' then anonymous_id end as anonymous_id,
        case when trim(user_id) <> '' then user_id end as known_user_id,
        client_ts,
        sent_ts,
        received_ts,
        unreadable_instants,
        client_ts between make_timestamptz(0) and make_timestamptz(7258118399999999)
        and received_ts between make_timestamptz(0) and make_timestamptz(7258118399999999)
        and coalesce(sent_ts between make_timestamptz(0) and make_timestamptz(7258118399999999), true) as is_in_range,
        properties as properties_text,
        context as context_text,
        try_cast(try_cast(properties as json) as map(varchar, varchar)) as properties,
        try_cast(context as json) as context
    from source

)

-- the device's clock is corrected by what it said at sending; nothing happens after receipt
select
    namespace,
    source_file,
    source_row,
    event_id,
    event_name,
    anonymous_id,
    known_user_id,
    coalesce(known_user_id, anonymous_id) as user_id,
    client_ts,
    sent_ts,
    received_ts,
    unreadable_instants,
    is_in_range,
    case
        when is_in_range
            then
                least(
                    epoch_us(client_ts) + coalesce(epoch_us(received_ts) - epoch_us(sent_ts), 0),
                    epoch_us(received_ts)
                )
    end as event_us,
    properties_text,
    context_text,
    properties,
    properties['value'] as value_text,
    context_text is not null and context is null as is_context_broken,
    coalesce(json_extract_string(context, '$.country'), json_extract_string(context, '$.location.country')) as country,
    json_extract_string(context, '$.device.type') as device,
    json_extract_string(context, '$.platform') as platform,
    json_extract_string(context, '$.app.name') as app,
    json_extract_string(context, '$.app.version') as app_version,
    cast(json_extract(context, '$.experiments') as varchar) as experiments
from cleaned
