{# The fixed-point sum; null when a value is too large for it. #}
{% macro fixed_sum(column) -%}
case
        when max(abs({{ column }})) < 1e20
            then sum(case when abs({{ column }}) < 1e20 then cast({{ column }} as decimal(38, 6)) end)
    end
{%- endmacro %}

{# The same as text, for the digest. #}
{% macro exact_sum(column) -%}{{ text_of(fixed_sum(column)) }}{%- endmacro %}
