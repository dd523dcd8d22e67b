{# Fails with every row for which the expression is false; null is not false. #}
{% test expression_holds(model, expression, column_name=none) %}

select *
from {{ model }}
where not ({{ expression }})

{% endtest %}
