with events as (

    select
        *,
        try_cast(value_text as double) as value
    from {{ ref('stg_user_events') }}

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
            when value_text is null and {{ map_has('properties', "'value'") }} then 'MISSING_VALUE'
            when value_text is not null and value is null then 'NOT_A_NUMBER'
            when not (abs(value) <= 1.7e308) then 'NOT_FINITE'
            when abs(value) >= 1e100 then 'VALUE_OUT_OF_RANGE'
        end as reason
    from events

)

select
    event_id,
    namespace,
    {{ date_of_day(day_number('event_us')) }} as event_date,
    user_id,
    anonymous_id,
    known_user_id is not null as is_known,
    event_name,
    {{ instant_of_us('event_us') }} as event_ts,
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
            then {{ json_of_columns(['event_id', 'event_name', 'anonymous_id', 'known_user_id', 'client_ts', 'sent_ts', 'received_ts', 'unreadable_instants', 'properties_text', 'context_text']) }}
    end as payload
from judged
