{# P(X > x) of chi-square with `df` degrees of freedom, a whole number from 1 to 9; null
   beyond. For each there is a finite sum of positive terms: with an even number it stands
   beside exp(-x / 2), with an odd one beside the normal tail. Arguments are columns:
   `root` = sqrt(x), `root_tail` = P(Z > root). Error below 1e-13 relative. #}
{% macro chi_square_tail(x, root, root_tail, df) -%}
case {{ df }}
{%- for degrees in range(1, 10) %}
    {%- if degrees == 1 %}
    when 1 then 2e0 * {{ root_tail }}
    {%- elif degrees % 2 == 0 %} when {{ degrees }} then exp(-5e-1 * {{ x }}) * {{ chi_square_sum(x, degrees) }}
    {%- else %}
    when {{ degrees }} then 2e0 * ({{ root_tail }} + {{ normal_density(root) }} * {{ root }} * {{ chi_square_sum(x, degrees) }})
    {%- endif %}
{%- endfor %}
end
{%- endmacro %}

{# 1 + x / a (1 + x / (a + 2) (1 + ...)) with a = 2 or 3, up to degrees - 2. #}
{% macro chi_square_sum(x, degrees) -%}
{%- set sum = namespace(text='1e0') -%}
{%- for term in range(degrees - 2, 1, -2) -%}
    {%- set sum.text = '(1e0 + ' ~ x ~ ' / ' ~ term ~ 'e0 * ' ~ sum.text ~ ')' -%}
{%- endfor -%}
{{ return(sum.text) }}
{%- endmacro %}
