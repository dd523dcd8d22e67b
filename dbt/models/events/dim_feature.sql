with exposure_events as (

    select * from {{ ref('int_exposure_events') }}

),

variants as (

    select * from {{ input('run', 'run_variants') }}

),

met as (

    select
        experiment_id,
        feature_key,
        variant,
        count(distinct user_id) as n_units,
        min(exposure_ts) as first_exposure_ts,
        max(exposure_ts) as last_exposure_ts
    from exposure_events
    group by experiment_id, feature_key, variant

),

features as (

    select distinct
        experiment_id,
        feature_key
    from exposure_events

)

-- every registered arm of a feature, met or not; an experiment without exposures names itself
select
    variants.experiment_id,
    coalesce(features.feature_key, variants.experiment_id) as feature_key,
    variants.variant,
    variants.is_control,
    variants.planned_share as traffic_allocation,
    coalesce(met.n_units, 0) as n_units,
    met.first_exposure_ts,
    met.last_exposure_ts
from variants
left join features
    on variants.experiment_id = features.experiment_id
left join met
    on
        features.experiment_id = met.experiment_id
        and features.feature_key = met.feature_key
        and variants.variant = met.variant
order by feature_key, variant
