{# The value of the last event that has one; of two at the same instant the larger one. #}
{% macro last_known(column, instant='event_us') -%}
max_by({{ column }}, {{ pair(instant, column) }}) filter (where {{ column }} is not null)
{%- endmacro %}

{% macro pair(one, other) -%}{{ return((dialect_macro('pair') or adapter.dispatch('pair', 'exp_platform'))(one, other)) }}{%- endmacro %}
{% macro default__pair(one, other) -%}row({{ one }}, {{ other }}){%- endmacro %}
{% macro spark__pair(one, other) -%}struct({{ one }}, {{ other }}){%- endmacro %}
