with source as (

    select * from {{ input('raw', 'user_events') }}

),

cleaned as (

    select
        namespace,
        source_file,
        source_row,
        nullif({{ trimmed('event_id') }}, '') as event_id,
        nullif({{ trimmed('event_name') }}, '') as event_name,
        case when {{ trimmed('anonymous_id') }} <> '' then anonymous_id end as anonymous_id,
        case when {{ trimmed('user_id') }} <> '' then user_id end as known_user_id,
        client_ts,
        sent_ts,
        received_ts,
        unreadable_instants,
        client_ts between {{ first_instant() }} and {{ last_instant() }}
        and received_ts between {{ first_instant() }} and {{ last_instant() }}
        and coalesce(sent_ts between {{ first_instant() }} and {{ last_instant() }}, true) as is_in_range,
        properties as properties_text,
        context as context_text,
        {{ json_map('properties') }} as properties,
        {{ json_document('context') }} as context
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
                    {{ epoch_us('client_ts') }} + coalesce({{ epoch_us('received_ts') }} - {{ epoch_us('sent_ts') }}, 0),
                    {{ epoch_us('received_ts') }}
                )
    end as event_us,
    properties_text,
    context_text,
    properties,
    {{ map_value('properties', "'value'") }} as value_text,
    context_text is not null and context is null as is_context_broken,
    coalesce({{ json_text('context', 'country') }}, {{ json_text('context', 'location.country') }}) as country,
    {{ json_text('context', 'device.type') }} as device,
    {{ json_text('context', 'platform') }} as platform,
    {{ json_text('context', 'app.name') }} as app,
    {{ json_text('context', 'app.version') }} as app_version,
    {{ json_part('context', 'experiments') }} as experiments
from cleaned
