{# The normal distribution in plain arithmetic: no engine here has all of it. Arguments
   are column names or literals, because each stands in the SQL many times. #}

{# Horner's rule; coefficients as text, that of the highest power first. #}
{% macro polynomial(coefficients, x) -%}
{%- set sum = namespace(text=coefficients[0]) -%}
{%- for coefficient in coefficients[1:] -%}
    {%- set sum.text = '(' ~ sum.text ~ ' * ' ~ x ~ ' + ' ~ coefficient ~ ')' -%}
{%- endfor -%}
{{ return(sum.text) }}
{%- endmacro %}

{# P(Z > z) for z >= 0 by W. J. Cody's rational approximations of erfc (Mathematics of
   Computation 23, 1969) on three ranges of z / sqrt(2). Absolute error below 2e-16;
   relative error below 1e-13 up to z = 37.5, where the tail leaves the normal doubles. #}
{% macro normal_tail(z) -%}
{%- set x = '(' ~ z ~ ' * 7.0710678118654752e-1)' -%}
{%- set y = '(' ~ z ~ ' * ' ~ z ~ ' * 5e-1)' -%}
{%- set w = '(2e0 / (' ~ z ~ ' * ' ~ z ~ '))' -%}
case
    when {{ z }} < 6.629126073623883e-1
        then 5e-1 - 5e-1 * {{ x }}
        * {{ polynomial(['1.85777706184603153e-1', '3.16112374387056560e0', '1.13864154151050156e2', '3.77485237685302021e2', '3.20937758913846947e3'], y) }} / {{ polynomial(['1e0', '2.36012909523441209e1', '2.44024637934444173e2', '1.28261652607737228e3', '2.84423683343917062e3'], y) }}
    when {{ z }} < 5.656854249492381e0
        then 5e-1 * exp(-{{ y }})
        * {{ polynomial(['2.15311535474403846e-8', '5.64188496988670089e-1', '8.88314979438837594e0', '6.61191906371416295e1', '2.98635138197400131e2', '8.81952221241769090e2', '1.71204761263407058e3', '2.05107837782607147e3', '1.23033935479799725e3'], x) }} / {{ polynomial(['1e0', '1.57449261107098347e1', '1.17693950891312499e2', '5.37181101862009858e2', '1.62138957456669019e3', '3.29079923573345963e3', '4.36261909014324716e3', '3.43936767414372164e3', '1.23033935480374942e3'], x) }}
    when {{ z }} >= 0e0
        then 5e-1 * exp(-{{ y }}) / {{ x }} * (5.6418958354775629e-1 - {{ w }}
        * {{ polynomial(['1.63153871373020978e-2', '3.05326634961232344e-1', '3.60344899949804439e-1', '1.25781726111229246e-1', '1.60837851487422766e-2', '6.58749161529837803e-4'], w) }} / {{ polynomial(['1e0', '2.56852019228982242e0', '1.87295284992346725e0', '5.27905102951428412e-1', '6.05183413124413191e-2', '2.33520497626869185e-3'], w) }})
end
{%- endmacro %}

{# The density of Z at z. #}
{% macro normal_density(z) -%}
3.9894228040143268e-1 * exp(-5e-1 * {{ z }} * {{ z }})
{%- endmacro %}

{# A first guess of the z with P(Z > z) = tail, for 0 < tail <= .5; error below 4.5e-4
   (Abramowitz and Stegun 26.2.23). `r` is the column sqrt(-2 ln tail). #}
{% macro normal_quantile_guess(r) -%}
{{ r }} - {{ polynomial(['1.0328e-2', '8.02853e-1', '2.515517e0'], r) }}
/ {{ polynomial(['1.308e-3', '1.89269e-1', '1.432788e0', '1e0'], r) }}
{%- endmacro %}

{# A better z from a near one: five terms of the Taylor series of the quantile around it,
   at P(Z > z) = tail. They take the guess to the last digits. `gap` is the column
   (P(Z > z) - tail) / density(z). #}
{% macro normal_quantile_step(z, gap) -%}
{%- set square = z ~ ' * ' ~ z -%}
{{ z }} + {{ gap }} * (1e0 + {{ gap }} * ({{ z }} / 2e0
    + {{ gap }} * ((2e0 * {{ square }} + 1e0) / 6e0
    + {{ gap }} * ({{ z }} * (6e0 * {{ square }} + 7e0) / 24e0
    + {{ gap }} * ((24e0 * {{ square }} + 46e0) * {{ square }} + 7e0) / 120e0))))
{%- endmacro %}
