with first_exposures as (

    select * from {{ ref('int_first_exposures') }}

),

events as (

    select * from {{ ref('stg_events') }}

),

-- nothing after the exposure counts: a treatment may have caused it
profiles as (

    select
        first_exposures.experiment_id,
        first_exposures.user_id,
        {{ last_known('country', 'event_us') }} as country,
        {{ last_known('device', 'event_us') }} as device,
        {{ last_known('platform', 'event_us') }} as platform,
        {{ last_known('app', 'event_us') }} as app,
        {{ last_known('app_version', 'event_us') }} as app_version
    from first_exposures
    inner join events
        on
            first_exposures.experiment_id = events.experiment_id
            and first_exposures.user_id = events.user_id
    where events.event_us <= first_exposures.exposure_us
    group by first_exposures.experiment_id, first_exposures.user_id

)

select
    experiment_id,
    user_id,
    {{ map_of({
        'dim_user.country': 'country',
        'dim_user.device': 'device',
        'dim_user.platform': 'platform',
        'dim_user.app': 'app',
        'dim_user.app_version': 'app_version',
    }) }} as profile
from profiles
