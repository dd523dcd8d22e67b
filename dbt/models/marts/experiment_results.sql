-- The fixed-horizon test of every comparison, written in SQL alone. Python computes the
-- same in analysis_results; the check SQL_TWIN compares the two. Tests and intervals here
-- are normal (suffix _z), Python's are t: df stands here only to be compared.
with comparisons as (

    select
        comparisons.*,
        case
            when (comparisons.is_clustered or not comparisons.is_ratio) and comparisons.reason = ''
                then comparisons.treatment_error / (comparisons.control_error + comparisons.treatment_error)
        end as treatment_part,
        -- the lift has no meaning on a baseline that is not positive
        case when comparisons.reason = '' and comparisons.control_mean > 0 then comparisons.control_mean end as baseline,
        experiments.alpha,
        quantiles.quantile
    from {{ ref('int_comparisons') }} as comparisons
    inner join {{ input('run', 'run_experiments') }} as experiments
        on comparisons.experiment_id = experiments.experiment_id
    inner join {{ ref('int_normal_quantiles') }} as quantiles
        on comparisons.experiment_id = quantiles.experiment_id

),

lifts as (

    select
        *,
        difference / baseline as relative_lift,
        -- delta method; near zero, where Python takes Fieller's interval, there is none
        case
            when baseline >= 5 * sqrt(control_error)
                then nullif(sqrt(treatment_error + power(treatment_mean / baseline, 2) * control_error), 0) / baseline
        end as relative_error
    from comparisons

)

select
    lifts.experiment_id,
    lifts.metric_name,
    lifts.segment,
    lifts.control,
    lifts.treatment,
    lifts.reason,
    lifts.n_control,
    lifts.n_treatment,
    lifts.control_mean,
    lifts.treatment_mean,
    lifts.difference,
    lifts.standard_error,
    1 / (
        power(lifts.treatment_part, 2) / (lifts.n_independent_treatment - 1)
        + power(1 - lifts.treatment_part, 2) / (lifts.n_independent_control - 1)
    ) as df,
    lifts.statistic,
    tests.p_value_z,
    tests.p_value_z_adjusted,
    lifts.alpha,
    case when lifts.reason = '' then lifts.difference - lifts.quantile * lifts.standard_error end as ci_lower_z,
    case when lifts.reason = '' then lifts.difference + lifts.quantile * lifts.standard_error end as ci_upper_z,
    lifts.relative_lift,
    lifts.relative_lift - lifts.quantile * lifts.relative_error as relative_ci_lower,
    lifts.relative_lift + lifts.quantile * lifts.relative_error as relative_ci_upper,
    guardrails.noninferiority_z,
    guardrails.noninferiority_p_z
from lifts
left join {{ ref('int_normal_tests') }} as tests
    on
        lifts.experiment_id = tests.experiment_id
        and lifts.metric_name = tests.metric_name
        and lifts.segment = tests.segment
        and lifts.treatment = tests.treatment
left join {{ ref('int_guardrail_tests') }} as guardrails
    on
        lifts.experiment_id = guardrails.experiment_id
        and lifts.metric_name = guardrails.metric_name
        and lifts.segment = guardrails.segment
        and lifts.treatment = guardrails.treatment
order by lifts.metric_name, lifts.segment, lifts.treatment
