{# Two queries, `means` and `squares`: moments over cohorts by a column of theirs. A unit
   without a row counts as 0, so a mean is one of active units and zeros: the squares
   around it are those inside the cohorts, those between them, and those of the zeros.
   `more` are further aggregates beside the mean. #}
{% macro cohort_moments(cohorts, key, more=[]) -%}
means as (

    select
        experiment_id,
        metric_name,
        variant,
        {{ key }},
        sum(n) as n,
        sum(n_active) as n_active,
        sum(n_active * active_mean) / nullif(sum(n), 0) as mean,
        {%- for aggregate in more %}
        {{ aggregate }},
        {%- endfor %}
        case when count(*) = count(fixed_sum) then {{ text_of('sum(fixed_sum)') }} end as exact_sum
    from {{ cohorts }}
    group by experiment_id, metric_name, variant, {{ key }}

),

squares as (

    select
        cohorts.experiment_id,
        cohorts.metric_name,
        cohorts.variant,
        cohorts.{{ key }},
        sum(
            cohorts.active_squares
            + cohorts.n_active * power(cohorts.active_mean - means.mean, 2)
            + (cohorts.n - cohorts.n_active) * power(means.mean, 2)
        ) as squares
    from {{ cohorts }} as cohorts
    inner join means
        on
            cohorts.experiment_id = means.experiment_id
            and cohorts.metric_name = means.metric_name
            and cohorts.variant = means.variant
            and cohorts.{{ key }} = means.{{ key }}
    group by cohorts.experiment_id, cohorts.metric_name, cohorts.variant, cohorts.{{ key }}

)
{%- endmacro %}
