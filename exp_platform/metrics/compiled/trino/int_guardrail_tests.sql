-- Non-inferiority of each guardrail on all units: is the harm less than the margin? With a
-- relative margin m the test is of mean_T - (1 - m) mean_C > 0, whose variance has the
-- factor (1 - m)^2 on control; where a decrease is good the signs turn. One-sided, normal.
-- A guardrail without a margin, or with nobody or everybody counted in an arm of a
-- proportion, has no such test, nor has a relative margin where an arm does not vary: z is
-- null.
with guardrails as (

    select
        comparisons.*,
        metrics.margin,
        metrics.margin_scale = 'relative' as is_relative,
        case when metrics.direction = 'increase' then 1 else -1 end as good
    from exp_run.int_comparisons as comparisons
    inner join exp_run.run_metrics as metrics
        on
            comparisons.experiment_id = metrics.experiment_id
            and comparisons.metric_name = metrics.metric_name
    where
        comparisons.reason = ''
        and comparisons.segment = 'all'
        and metrics.role = 'guardrail'
        and metrics.margin > 0
        and not (
            metrics.metric_type in ('proportion', 'retention', 'funnel')
            and (comparisons.control_mean in (0, 1) or comparisons.treatment_mean in (0, 1))
        )

),

statistics as (

    select
        *,
        case
            when not is_relative then (good * difference + margin) / standard_error
            when control_mean > 0 and control_error > 0 and treatment_error > 0
                then (good * difference + margin * control_mean)
                / sqrt(treatment_error + (1 - good * margin) * (1 - good * margin) * control_error)
        end as noninferiority_z
    from guardrails

),

sides as (

    select
        *,
        abs(noninferiority_z) as z
    from statistics

),

tails as (

    select
        *,
        case
    when z < 6.629126073623883e-1
        then 5e-1 - 5e-1 * (z * 7.0710678118654752e-1)
        * ((((1.85777706184603153e-1 * (z * z * 5e-1) + 3.16112374387056560e0) * (z * z * 5e-1) + 1.13864154151050156e2) * (z * z * 5e-1) + 3.77485237685302021e2) * (z * z * 5e-1) + 3.20937758913846947e3) / ((((1e0 * (z * z * 5e-1) + 2.36012909523441209e1) * (z * z * 5e-1) + 2.44024637934444173e2) * (z * z * 5e-1) + 1.28261652607737228e3) * (z * z * 5e-1) + 2.84423683343917062e3)
    when z < 5.656854249492381e0
        then 5e-1 * exp(-(z * z * 5e-1))
        * ((((((((2.15311535474403846e-8 * (z * 7.0710678118654752e-1) + 5.64188496988670089e-1) * (z * 7.0710678118654752e-1) + 8.88314979438837594e0) * (z * 7.0710678118654752e-1) + 6.61191906371416295e1) * (z * 7.0710678118654752e-1) + 2.98635138197400131e2) * (z * 7.0710678118654752e-1) + 8.81952221241769090e2) * (z * 7.0710678118654752e-1) + 1.71204761263407058e3) * (z * 7.0710678118654752e-1) + 2.05107837782607147e3) * (z * 7.0710678118654752e-1) + 1.23033935479799725e3) / ((((((((1e0 * (z * 7.0710678118654752e-1) + 1.57449261107098347e1) * (z * 7.0710678118654752e-1) + 1.17693950891312499e2) * (z * 7.0710678118654752e-1) + 5.37181101862009858e2) * (z * 7.0710678118654752e-1) + 1.62138957456669019e3) * (z * 7.0710678118654752e-1) + 3.29079923573345963e3) * (z * 7.0710678118654752e-1) + 4.36261909014324716e3) * (z * 7.0710678118654752e-1) + 3.43936767414372164e3) * (z * 7.0710678118654752e-1) + 1.23033935480374942e3)
    when z >= 0e0
        then 5e-1 * exp(-(z * z * 5e-1)) / (z * 7.0710678118654752e-1) * (5.6418958354775629e-1 - (2e0 / (z * z))
        * (((((1.63153871373020978e-2 * (2e0 / (z * z)) + 3.05326634961232344e-1) * (2e0 / (z * z)) + 3.60344899949804439e-1) * (2e0 / (z * z)) + 1.25781726111229246e-1) * (2e0 / (z * z)) + 1.60837851487422766e-2) * (2e0 / (z * z)) + 6.58749161529837803e-4) / (((((1e0 * (2e0 / (z * z)) + 2.56852019228982242e0) * (2e0 / (z * z)) + 1.87295284992346725e0) * (2e0 / (z * z)) + 5.27905102951428412e-1) * (2e0 / (z * z)) + 6.05183413124413191e-2) * (2e0 / (z * z)) + 2.33520497626869185e-3))
end as tail
    from sides

)

select
    experiment_id,
    metric_name,
    segment,
    treatment,
    noninferiority_z,
    case when noninferiority_z < 0 then 1 - tail else tail end as noninferiority_p_z
from tails
