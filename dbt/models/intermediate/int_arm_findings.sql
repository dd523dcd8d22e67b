{{ config(materialized='view') }}
-- One row per arm: how many of its goals and guardrails say what, whether the split was
-- as planned, and how far the experiment has come.
with findings as (

    select
        experiment_id,
        treatment,
        sum(case when role = 'goal' then 1 else 0 end) as n_goals,
        sum(case when role = 'goal' and is_unknown then 1 else 0 end) as n_goals_unknown,
        sum(case when is_better then 1 else 0 end) as n_goals_better,
        sum(case when is_worse then 1 else 0 end) as n_goals_worse,
        sum(case when role = 'guardrail' then 1 else 0 end) as n_guardrails,
        sum(case when role = 'guardrail' and is_unknown then 1 else 0 end) as n_guardrails_unknown,
        sum(case when is_held then 1 else 0 end) as n_guardrails_held,
        sum(case when is_degraded then 1 else 0 end) as n_guardrails_degraded,
        sum(case when is_degraded and not is_held then 1 else 0 end) as n_guardrails_harmed
    from {{ ref('int_metric_findings') }}
    group by experiment_id, treatment

),

split as (

    select
        experiment_id,
        min(p_value) as srm_p_value,
        max(abs(observed / expected - 1)) as srm_deviation
    from {{ ref('sample_ratio_mismatch') }}
    where slice = 'overall'
    group by experiment_id

)

select
    experiments.experiment_id,
    variants.variant as treatment,
    experiments.assignment,
    experiments.accepts_within_margin,
    -- undated input has no end to wait for and no days to count
    not experiments.is_dated or experiments.watermark_us >= experiments.end_us as is_complete,
    case
        when experiments.is_dated
            then greatest(0, floor(
                (least(experiments.end_us, experiments.watermark_us) - experiments.start_us) / 86400000000.0
            ))
    end as whole_days,
    split.srm_p_value,
    split.srm_deviation,
    findings.n_goals,
    findings.n_goals_unknown,
    findings.n_goals_better,
    findings.n_goals_worse,
    findings.n_guardrails,
    findings.n_guardrails_unknown,
    findings.n_guardrails_held,
    findings.n_guardrails_degraded,
    findings.n_guardrails_harmed
from {{ input('run', 'run_experiments') }} as experiments
inner join {{ input('run', 'run_variants') }} as variants
    on experiments.experiment_id = variants.experiment_id
left join findings
    on
        experiments.experiment_id = findings.experiment_id
        and variants.variant = findings.treatment
left join split
    on experiments.experiment_id = split.experiment_id
where not variants.is_control
