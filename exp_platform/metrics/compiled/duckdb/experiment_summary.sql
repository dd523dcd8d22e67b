-- What the fixed-horizon test in SQL says about each arm: ship, do not ship, or more data
-- are needed, and the first reason. It is a signal for people who read SQL, never the
-- Decision: that one also weighs the trust checks, CUPED, sequential looks and trends.
with arms as (

    select * from exp_run.int_arm_findings

),

reasons as (

    select
        *,
        case
            when assignment <> 'randomised' then 'NOT_RANDOMISED'
            when srm_p_value < 1e-3 and srm_deviation >= 2e-3 then 'SRM_FAILED'
            when coalesce(n_goals, 0) = 0 then 'NO_PLAN'
            when not is_complete then 'NOT_COMPLETE'
            when n_goals_unknown > 0 then 'INSUFFICIENT_DATA'
            when n_guardrails_unknown > 0 then 'GUARDRAIL_UNKNOWN'
            when n_guardrails_harmed > 0 then 'GUARDRAIL_DEGRADED'
            when n_goals_worse > 0 then 'GOAL_WORSE'
            when n_guardrails_held < n_guardrails then 'GUARDRAIL_INCONCLUSIVE'
            when n_guardrails_degraded > 0 and not accepts_within_margin then 'DEGRADED_WITHIN_MARGIN'
            when whole_days < 7 then 'TOO_FEW_DAYS'
            when n_goals_better = 0 then 'NO_GOAL_EFFECT'
            else 'GOAL_SUPERIOR'
        end as reason
    from arms

)

select
    experiment_id,
    treatment,
    case
        when reason = 'GOAL_SUPERIOR' then 'SHIP'
        when reason in ('NOT_COMPLETE', 'INSUFFICIENT_DATA', 'GUARDRAIL_UNKNOWN', 'GUARDRAIL_INCONCLUSIVE', 'TOO_FEW_DAYS')
            then 'NEEDS_MORE_DATA'
        else 'DO_NOT_SHIP'
    end as sql_signal,
    reason,
    is_complete,
    cast(whole_days as bigint) as whole_days,
    srm_p_value,
    srm_deviation,
    cast(coalesce(n_goals, 0) as bigint) as n_goals,
    cast(coalesce(n_goals_better, 0) as bigint) as n_goals_better,
    cast(coalesce(n_goals_worse, 0) as bigint) as n_goals_worse,
    cast(coalesce(n_guardrails, 0) as bigint) as n_guardrails,
    cast(coalesce(n_guardrails_held, 0) as bigint) as n_guardrails_held,
    cast(coalesce(n_guardrails_degraded, 0) as bigint) as n_guardrails_degraded
from reasons
order by treatment
