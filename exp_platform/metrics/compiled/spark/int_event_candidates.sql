with checked as (

    select * from exp_run.int_checked_events

),

published as (

    select * from exp_run.run_published_events

)

-- what was published before for the days that the new rows touch stands beside them
select
    event_id,
    namespace,
    event_date,
    user_id,
    anonymous_id,
    is_known,
    event_name,
    event_ts,
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
    source_row
from checked
where reason is null
union all
select
    event_id,
    namespace,
    event_date,
    user_id,
    anonymous_id,
    is_known,
    event_name,
    event_ts,
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
    source_row
from published
