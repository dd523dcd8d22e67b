with first_exposures as (

    select * from exp_run.int_first_exposures

),

events as (

    select * from exp_run.stg_events

),

-- nothing after the exposure counts: a treatment may have caused it
profiles as (

    select
        first_exposures.experiment_id,
        first_exposures.user_id,
        max_by(country, row(event_us, country)) filter (where country is not null) as country,
        max_by(device, row(event_us, device)) filter (where device is not null) as device,
        max_by(platform, row(event_us, platform)) filter (where platform is not null) as platform,
        max_by(app, row(event_us, app)) filter (where app is not null) as app,
        max_by(app_version, row(event_us, app_version)) filter (where app_version is not null) as app_version
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
    map(array['dim_user.country', 'dim_user.device', 'dim_user.platform', 'dim_user.app', 'dim_user.app_version'], array[country, device, platform, app, app_version]) as profile
from profiles
