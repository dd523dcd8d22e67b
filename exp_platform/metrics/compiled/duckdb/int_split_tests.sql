-- Pearson's chi-square of each level, and its p after Holm over the levels of the slice.
-- There is no p where an arm expects fewer than five units, where whole clusters were
-- assigned (their units were not split one by one), where nobody split anything at random,
-- nor on a cumulated day: days that are looked at again and again need the sequential test
-- in Python.
with levels as (

    select
        experiment_id, slice, level,
        count(*) - 1 as df,
        min(expected) as smallest_expected,
        sum(chi_square_term) as chi_square,
        sqrt(sum(chi_square_term)) as root
    from exp_run.int_split_levels
    group by experiment_id, slice, level

),

tails as (

    select
        *,
        case
    when root < 6.629126073623883e-1
        then 5e-1 - 5e-1 * (root * 7.0710678118654752e-1)
        * ((((1.85777706184603153e-1 * (root * root * 5e-1) + 3.16112374387056560e0) * (root * root * 5e-1) + 1.13864154151050156e2) * (root * root * 5e-1) + 3.77485237685302021e2) * (root * root * 5e-1) + 3.20937758913846947e3) / ((((1e0 * (root * root * 5e-1) + 2.36012909523441209e1) * (root * root * 5e-1) + 2.44024637934444173e2) * (root * root * 5e-1) + 1.28261652607737228e3) * (root * root * 5e-1) + 2.84423683343917062e3)
    when root < 5.656854249492381e0
        then 5e-1 * exp(-(root * root * 5e-1))
        * ((((((((2.15311535474403846e-8 * (root * 7.0710678118654752e-1) + 5.64188496988670089e-1) * (root * 7.0710678118654752e-1) + 8.88314979438837594e0) * (root * 7.0710678118654752e-1) + 6.61191906371416295e1) * (root * 7.0710678118654752e-1) + 2.98635138197400131e2) * (root * 7.0710678118654752e-1) + 8.81952221241769090e2) * (root * 7.0710678118654752e-1) + 1.71204761263407058e3) * (root * 7.0710678118654752e-1) + 2.05107837782607147e3) * (root * 7.0710678118654752e-1) + 1.23033935479799725e3) / ((((((((1e0 * (root * 7.0710678118654752e-1) + 1.57449261107098347e1) * (root * 7.0710678118654752e-1) + 1.17693950891312499e2) * (root * 7.0710678118654752e-1) + 5.37181101862009858e2) * (root * 7.0710678118654752e-1) + 1.62138957456669019e3) * (root * 7.0710678118654752e-1) + 3.29079923573345963e3) * (root * 7.0710678118654752e-1) + 4.36261909014324716e3) * (root * 7.0710678118654752e-1) + 3.43936767414372164e3) * (root * 7.0710678118654752e-1) + 1.23033935480374942e3)
    when root >= 0e0
        then 5e-1 * exp(-(root * root * 5e-1)) / (root * 7.0710678118654752e-1) * (5.6418958354775629e-1 - (2e0 / (root * root))
        * (((((1.63153871373020978e-2 * (2e0 / (root * root)) + 3.05326634961232344e-1) * (2e0 / (root * root)) + 3.60344899949804439e-1) * (2e0 / (root * root)) + 1.25781726111229246e-1) * (2e0 / (root * root)) + 1.60837851487422766e-2) * (2e0 / (root * root)) + 6.58749161529837803e-4) / (((((1e0 * (2e0 / (root * root)) + 2.56852019228982242e0) * (2e0 / (root * root)) + 1.87295284992346725e0) * (2e0 / (root * root)) + 5.27905102951428412e-1) * (2e0 / (root * root)) + 6.05183413124413191e-2) * (2e0 / (root * root)) + 2.33520497626869185e-3))
end as root_tail
    from levels

),

p_values as (

    select
        tails.*,
        case
            when
                smallest_expected >= 5 and slice <> 'cumulative_day'
                and experiments.cluster_attribute = '' and experiments.assignment = 'randomised'
                then case df
    when 1 then 2e0 * root_tail when 2 then exp(-5e-1 * chi_square) * 1e0
    when 3 then 2e0 * (root_tail + 3.9894228040143268e-1 * exp(-5e-1 * root * root) * root * 1e0) when 4 then exp(-5e-1 * chi_square) * (1e0 + chi_square / 2e0 * 1e0)
    when 5 then 2e0 * (root_tail + 3.9894228040143268e-1 * exp(-5e-1 * root * root) * root * (1e0 + chi_square / 3e0 * 1e0)) when 6 then exp(-5e-1 * chi_square) * (1e0 + chi_square / 2e0 * (1e0 + chi_square / 4e0 * 1e0))
    when 7 then 2e0 * (root_tail + 3.9894228040143268e-1 * exp(-5e-1 * root * root) * root * (1e0 + chi_square / 3e0 * (1e0 + chi_square / 5e0 * 1e0))) when 8 then exp(-5e-1 * chi_square) * (1e0 + chi_square / 2e0 * (1e0 + chi_square / 4e0 * (1e0 + chi_square / 6e0 * 1e0)))
    when 9 then 2e0 * (root_tail + 3.9894228040143268e-1 * exp(-5e-1 * root * root) * root * (1e0 + chi_square / 3e0 * (1e0 + chi_square / 5e0 * (1e0 + chi_square / 7e0 * 1e0))))
end
        end as p_value
    from tails
    inner join exp_run.run_experiments as experiments
        on tails.experiment_id = experiments.experiment_id

),

-- Holm: the smallest p times all levels, the next times one less, never falling
ranked as (

    select
        *,
        count(p_value) over (partition by experiment_id, slice) + 1 - row_number() over (
            partition by experiment_id, slice order by p_value nulls last, level
        ) as n_left
    from p_values

)

select
    experiment_id, slice, level, chi_square, df, p_value,
    case
        when p_value is not null
            then least(1e0, max(p_value * n_left) over (
                partition by experiment_id, slice order by n_left desc rows between unbounded preceding and current row
            ))
    end as p_value_adjusted
from ranked
