with source as (

    select * from exp_raw.user_events

),

cleaned as (

    select
        namespace,
        source_file,
        source_row,
        nullif(btrim(event_id, '\u0020\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000'), '') as event_id,
        nullif(btrim(event_name, '\u0020\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000'), '') as event_name,
        case when btrim(anonymous_id, '\u0020\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000') <> '' then anonymous_id end as anonymous_id,
        case when btrim(user_id, '\u0020\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000') <> '' then user_id end as known_user_id,
        client_ts,
        sent_ts,
        received_ts,
        unreadable_instants,
        client_ts between timestamp_micros(0) and timestamp_micros(7258118399999999)
        and received_ts between timestamp_micros(0) and timestamp_micros(7258118399999999)
        and coalesce(sent_ts between timestamp_micros(0) and timestamp_micros(7258118399999999), true) as is_in_range,
        properties as properties_text,
        context as context_text,
        from_json(properties, 'map<string,string>') as properties,
        case when from_json(context, 'map<string,string>') is not null then context end as context
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
                    unix_micros(client_ts) + coalesce(unix_micros(received_ts) - unix_micros(sent_ts), 0),
                    unix_micros(received_ts)
                )
    end as event_us,
    properties_text,
    context_text,
    properties,
    properties['value'] as value_text,
    context_text is not null and context is null as is_context_broken,
    coalesce(get_json_object(context, '$.country'), get_json_object(context, '$.location.country')) as country,
    get_json_object(context, '$.device.type') as device,
    get_json_object(context, '$.platform') as platform,
    get_json_object(context, '$.app.name') as app,
    get_json_object(context, '$.app.version') as app_version,
    get_json_object(context, '$.experiments') as experiments
from cleaned
