{# The fixed-point sum; null when a value is too large for it. #}
{% macro fixed_sum(column) -%}
case
        when max(abs({{ column }})) < 1e20
            then sum(case when abs({{ column }}) < 1e20 then {{ millionths(column) }} end)
    end
{%- endmacro %}

{# The same as text, for the digest. #}
{% macro exact_sum(column) -%}{{ text_of(fixed_sum(column)) }}{%- endmacro %}

{# A double as a decimal of six digits. DuckDB multiplies and rounds; others round the
   shortest text of the double. #}
{% macro millionths(value) -%}{{ return((dialect_macro('millionths') or adapter.dispatch('millionths', 'exp_platform'))(value)) }}{%- endmacro %}
{% macro default__millionths(value) -%}cast({{ value }} as decimal(38, 6)){%- endmacro %}
{% macro spark__millionths(value) -%}
transform(array(round({{ value }} * 1e6)), x -> {{ exp_platform.decimal_of_whole('x') }})[0]
{%- endmacro %}
{% macro trino__millionths(value) -%}
element_at(transform(array[round({{ value }} * 1e6)], x -> {{ exp_platform.decimal_of_whole('x') }}), 1)
{%- endmacro %}

{# A whole number of millionths beyond 64 bits, in two parts of them. #}
{% macro decimal_of_whole(x) -%}
(
    cast(floor({{ x }} / 4294967296e0) as decimal(17, 0)) * cast(4294967296 as decimal(10, 0))
    + cast({{ x }} - floor({{ x }} / 4294967296e0) * 4294967296e0 as decimal(10, 0))
) * cast(0.000001 as decimal(6, 6))
{%- endmacro %}
