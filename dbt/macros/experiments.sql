{# Rows of the models `exp_run_experiments` and `exp_run_variants` of a project that installs
   this one. Instants are ISO 8601 in UTC, e.g. 2026-03-02 or 2026-03-02T08:00:00; one that
   cannot be read stops the compilation. #}
{% macro experiment(
    experiment_id, start, end, watermark,
    lookback_days=14, bot_rows_per_day=100, exclude_bots=false, cluster_attribute='', namespace='',
    assignment='randomised', alpha=0.05, min_units_per_arm=100, accepts_within_margin=false
) -%}
select
    {{ exp_platform.text_literal(experiment_id) }} as experiment_id,
    cast({{ exp_platform.microseconds_of(start) }} as bigint) as start_us,
    cast({{ exp_platform.microseconds_of(end) }} as bigint) as end_us,
    cast({{ exp_platform.microseconds_of(watermark) }} as bigint) as watermark_us,
    cast({{ exp_platform.microseconds_of(watermark) }} as bigint) as last_look_us,
    cast({{ lookback_days * 86400000000 }} as bigint) as lookback_us,
    cast({{ bot_rows_per_day }} as bigint) as bot_rows_per_day,
    {{ exclude_bots | lower }} as exclude_bots,
    {{ exp_platform.text_literal(cluster_attribute) }} as cluster_attribute,
    {{ exp_platform.text_literal(namespace) }} as namespace,
    {{ exp_platform.text_literal(assignment) }} as assignment,
    true as is_dated,
    cast({{ alpha }} as double) as alpha,
    cast(0.025 as double) as guardrail_alpha,
    cast({{ min_units_per_arm }} as bigint) as min_units_per_arm,
    cast(5 as bigint) as fewest_clusters,
    cast(20 as bigint) as bootstrap_below,
    {{ accepts_within_margin | lower }} as accepts_within_margin
{%- endmacro %}

{# Arms with their planned shares, e.g. {'control': 0.5, 'treatment': 0.5}. #}
{% macro variants(experiment_id, shares, control='control') -%}
{%- if control not in shares -%}
    {{ exceptions.raise_compiler_error("experiment " ~ experiment_id ~ " has no arm " ~ control) }}
{%- endif -%}
{%- if (shares.values() | sum - 1) | abs > 1e-6 or shares.values() | min <= 0 -%}
    {{ exceptions.raise_compiler_error("the shares of experiment " ~ experiment_id ~ " must be above 0 and add up to 1, found " ~ shares) }}
{%- endif -%}
{%- for variant, share in shares.items() -%}
select
    {{ exp_platform.text_literal(experiment_id) }} as experiment_id,
    {{ exp_platform.text_literal(variant) }} as variant,
    cast({{ share }} as double) as planned_share,
    {{ (variant == control) | lower }} as is_control
{% if not loop.last %}union all
{% endif %}
{%- endfor -%}
{%- endmacro %}

{% macro text_literal(text) -%}'{{ text | replace("'", "''") }}'{%- endmacro %}

{% macro microseconds_of(instant) -%}
{%- set read = modules.datetime.datetime.fromisoformat(instant | string) -%}
{%- if read.tzinfo is none -%}{%- set read = modules.pytz.utc.localize(read) -%}{%- endif -%}
{%- set since = read - modules.pytz.utc.localize(modules.datetime.datetime(1970, 1, 1)) -%}
{{ return((since.days * 86400 + since.seconds) * 1000000 + since.microseconds) }}
{%- endmacro %}
