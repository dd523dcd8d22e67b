with events as (

    select
        *,
        try_cast(value_text as double) as value
    from exp_run.stg_user_events

),

-- the first thing that is wrong with a row; null = nothing
judged as (

    select
        *,
        case
            when event_id is null or event_name is null or user_id is null then 'MISSING_KEY'
            when unreadable_instants is not null or client_ts is null or received_ts is null then 'BAD_TIMESTAMP'
            when not is_in_range or event_us < 0 then 'TIMESTAMP_OUT_OF_RANGE'
            when is_context_broken or (properties_text is not null and properties is null) then 'BAD_PROPERTIES'
            when value_text is null and contains(map_keys(properties), 'value') then 'MISSING_VALUE'
            when value_text is not null and value is null then 'NOT_A_NUMBER'
            when not (abs(value) <= 1.7e308) then 'NOT_FINITE'
            when abs(value) >= 1e100 then 'VALUE_OUT_OF_RANGE'
        end as reason
    from events

)

select
    event_id,
    namespace,
    date_add('day', cast(floor(cast(event_us as double) / 86400000000) as bigint), date '1970-01-01') as event_date,
    user_id,
    anonymous_id,
    known_user_id is not null as is_known,
    event_name,
    cast(from_unixtime_nanos(1000 * (event_us)) as timestamp(6) with time zone) as event_ts,
    client_ts,
    received_ts,
    value,
    properties,
    country,
    device,
    platform,
    app,
    app_version,
    experiments,
    source_file,
    source_row,
    reason,
    case
        when reason is not null
            then json_format(cast(map(
    array['event_id', 'event_name', 'anonymous_id', 'known_user_id', 'client_ts', 'sent_ts', 'received_ts', 'unreadable_instants', 'properties_text', 'context_text'],
    array[cast(event_id as varchar), cast(event_name as varchar), cast(anonymous_id as varchar), cast(known_user_id as varchar), cast(client_ts as varchar), cast(sent_ts as varchar), cast(received_ts as varchar), cast(unreadable_instants as varchar), cast(properties_text as varchar), cast(context_text as varchar)]
) as json))
    end as payload
from judged
