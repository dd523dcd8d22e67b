-- The two-sided normal p of every comparison, and for the goals on all units the p after
-- Holm over goals x arms. A goal without a test still counts in the family, so that a
-- metric that failed never makes the others look better.
with families as (

    select
        goals.experiment_id,
        count(*) as family_size
    from exp_run.run_metrics as goals
    inner join exp_run.run_variants as variants
        on goals.experiment_id = variants.experiment_id
    where goals.role = 'goal' and not variants.is_control
    group by goals.experiment_id

),

tested as (

    select
        comparisons.*,
        abs(comparisons.statistic) as z,
        metrics.role = 'goal' and comparisons.segment = 'all' as is_in_family,
        coalesce(families.family_size, 0) as family_size
    from exp_run.int_comparisons as comparisons
    inner join exp_run.run_metrics as metrics
        on
            comparisons.experiment_id = metrics.experiment_id
            and comparisons.metric_name = metrics.metric_name
    left join families
        on comparisons.experiment_id = families.experiment_id
    where comparisons.reason = ''

),

p_values as (

    select
        *,
        2e0 * case
    when z < 6.629126073623883e-1
        then 5e-1 - 5e-1 * (z * 7.0710678118654752e-1)
        * ((((1.85777706184603153e-1 * (z * z * 5e-1) + 3.16112374387056560e0) * (z * z * 5e-1) + 1.13864154151050156e2) * (z * z * 5e-1) + 3.77485237685302021e2) * (z * z * 5e-1) + 3.20937758913846947e3) / ((((1e0 * (z * z * 5e-1) + 2.36012909523441209e1) * (z * z * 5e-1) + 2.44024637934444173e2) * (z * z * 5e-1) + 1.28261652607737228e3) * (z * z * 5e-1) + 2.84423683343917062e3)
    when z < 5.656854249492381e0
        then 5e-1 * exp(-(z * z * 5e-1))
        * ((((((((2.15311535474403846e-8 * (z * 7.0710678118654752e-1) + 5.64188496988670089e-1) * (z * 7.0710678118654752e-1) + 8.88314979438837594e0) * (z * 7.0710678118654752e-1) + 6.61191906371416295e1) * (z * 7.0710678118654752e-1) + 2.98635138197400131e2) * (z * 7.0710678118654752e-1) + 8.81952221241769090e2) * (z * 7.0710678118654752e-1) + 1.71204761263407058e3) * (z * 7.0710678118654752e-1) + 2.05107837782607147e3) * (z * 7.0710678118654752e-1) + 1.23033935479799725e3) / ((((((((1e0 * (z * 7.0710678118654752e-1) + 1.57449261107098347e1) * (z * 7.0710678118654752e-1) + 1.17693950891312499e2) * (z * 7.0710678118654752e-1) + 5.37181101862009858e2) * (z * 7.0710678118654752e-1) + 1.62138957456669019e3) * (z * 7.0710678118654752e-1) + 3.29079923573345963e3) * (z * 7.0710678118654752e-1) + 4.36261909014324716e3) * (z * 7.0710678118654752e-1) + 3.43936767414372164e3) * (z * 7.0710678118654752e-1) + 1.23033935480374942e3)
    when z >= 0e0
        then 5e-1 * exp(-(z * z * 5e-1)) / (z * 7.0710678118654752e-1) * (5.6418958354775629e-1 - (2e0 / (z * z))
        * (((((1.63153871373020978e-2 * (2e0 / (z * z)) + 3.05326634961232344e-1) * (2e0 / (z * z)) + 3.60344899949804439e-1) * (2e0 / (z * z)) + 1.25781726111229246e-1) * (2e0 / (z * z)) + 1.60837851487422766e-2) * (2e0 / (z * z)) + 6.58749161529837803e-4) / (((((1e0 * (2e0 / (z * z)) + 2.56852019228982242e0) * (2e0 / (z * z)) + 1.87295284992346725e0) * (2e0 / (z * z)) + 5.27905102951428412e-1) * (2e0 / (z * z)) + 6.05183413124413191e-2) * (2e0 / (z * z)) + 2.33520497626869185e-3))
end as p_value_z
    from tested

),

-- Holm: the smallest p times the whole family, the next times one less, never falling
ranked as (

    select
        *,
        family_size + 1 - row_number() over (
            partition by experiment_id, is_in_family order by p_value_z, metric_name, treatment
        ) as n_left
    from p_values

)

select
    experiment_id,
    metric_name,
    segment,
    treatment,
    p_value_z,
    case
        when is_in_family
            then least(1e0, max(p_value_z * n_left) over (
                partition by experiment_id, is_in_family
                order by n_left desc
                rows between unbounded preceding and current row
            ))
    end as p_value_z_adjusted
from ranked
