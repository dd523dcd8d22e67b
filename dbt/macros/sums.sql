{# The fixed-point sum as text, for the digest; null when a value is too large for it. #}
{% macro exact_sum(column) -%}
case
        when max(abs({{ column }})) < 1e20
            then
                {{ text_of('sum(case when abs(' ~ column ~ ') < 1e20 then cast(' ~ column ~ ' as decimal(38, 6)) end)') }}
    end
{%- endmacro %}
