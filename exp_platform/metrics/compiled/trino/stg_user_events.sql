with source as (

    select * from exp_raw.user_events

),

cleaned as (

    select
        namespace,
        source_file,
        source_row,
        nullif(trim(event_id, U&'\0020\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\202f\205f\3000'), '') as event_id,
        nullif(trim(event_name, U&'\0020\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\202f\205f\3000'), '') as event_name,
        case when trim(anonymous_id, U&'\0020\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\202f\205f\3000') <> '' then anonymous_id end as anonymous_id,
        case when trim(user_id, U&'\0020\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\202f\205f\3000') <> '' then user_id end as known_user_id,
        client_ts,
        sent_ts,
        received_ts,
        unreadable_instants,
        client_ts between cast(from_unixtime_nanos(1000 * (0)) as timestamp(6) with time zone) and cast(from_unixtime_nanos(1000 * (7258118399999999)) as timestamp(6) with time zone)
        and received_ts between cast(from_unixtime_nanos(1000 * (0)) as timestamp(6) with time zone) and cast(from_unixtime_nanos(1000 * (7258118399999999)) as timestamp(6) with time zone)
        and coalesce(sent_ts between cast(from_unixtime_nanos(1000 * (0)) as timestamp(6) with time zone) and cast(from_unixtime_nanos(1000 * (7258118399999999)) as timestamp(6) with time zone), true) as is_in_range,
        properties as properties_text,
        context as context_text,
        try(transform_values(
    cast(json_parse(properties) as map(varchar, json)),
    (key, value) -> coalesce(json_extract_scalar(value, '$'), nullif(json_format(value), 'null'))
)) as properties,
        try(json_parse(context)) as context
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
                    cast(round(to_unixtime(client_ts) * 1e6) as bigint) + coalesce(cast(round(to_unixtime(received_ts) * 1e6) as bigint) - cast(round(to_unixtime(sent_ts) * 1e6) as bigint), 0),
                    cast(round(to_unixtime(received_ts) * 1e6) as bigint)
                )
    end as event_us,
    properties_text,
    context_text,
    properties,
    element_at(properties, 'value') as value_text,
    context_text is not null and context is null as is_context_broken,
    coalesce(json_extract_scalar(context, '$.country'), json_extract_scalar(context, '$.location.country')) as country,
    json_extract_scalar(context, '$.device.type') as device,
    json_extract_scalar(context, '$.platform') as platform,
    json_extract_scalar(context, '$.app.name') as app,
    json_extract_scalar(context, '$.app.version') as app_version,
    json_format(json_extract(context, '$.experiments')) as experiments
from cleaned
