select 'checkout' as experiment_id, customer_id as user_id, 'order' as metric_name, amount as value, ordered_at as outcome_ts
from {{ source('shop', 'orders') }}
union all
select 'checkout', customer_id, 'visit', 1.0, visited_at
from {{ source('shop', 'visits') }}
