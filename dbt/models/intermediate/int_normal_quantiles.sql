{{ config(materialized='view') }}
-- An interval at the plan's alpha needs the z with P(Z > z) = alpha / 2. The engines share
-- no function for it: a guess is improved once, which takes it to the last digits.
with tails as (

    select
        experiment_id,
        alpha,
        alpha * 5e-1 as tail,
        sqrt(-2e0 * ln(alpha * 5e-1)) as r
    from {{ input('run', 'run_experiments') }}

),

guesses as (

    select
        experiment_id,
        alpha,
        tail,
        {{ normal_quantile_guess('r') }} as z
    from tails

),

gaps as (

    select
        experiment_id,
        alpha,
        z,
        ({{ normal_tail('z') }} - tail) / ({{ normal_density('z') }}) as gap
    from guesses

)

select
    experiment_id,
    alpha,
    {{ normal_quantile_step('z', 'gap') }} as quantile
from gaps
