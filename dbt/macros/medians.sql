{# The rows whose mean is the median: of n ranked from 1 the middle one, or the two. #}
{% macro is_middle(place, n) -%}
2 * {{ place }} between {{ n }} and {{ n }} + 2
{%- endmacro %}
