-- One row per payer and year, and per year for both together (payer 'total'): undiscounted budget and its impact.
-- Reads budget_lines (Budget.table); $members, of the payer alone, or NULL; the currency is that of $setting.
WITH sums AS (
    SELECT
        coalesce(payer, 'total') AS payer,
        year,
        sum(comparator) AS comparator,
        sum(strategy) AS strategy,
        sum(difference) AS difference,
        coalesce(sum(difference) FILTER (kind = 'cash'), 0) AS cash,
        coalesce(sum(difference) FILTER (kind = 'capacity'), 0) AS capacity
    FROM budget_lines
    GROUP BY GROUPING SETS ((payer, year), (year))
),
money AS (
    SELECT any_value(currency) AS currency
    FROM market.parameters
    WHERE setting = $setting AND id = 'c_ldct'
)
SELECT
    sums.*,
    sum(difference) OVER (PARTITION BY payer ORDER BY year) AS difference_so_far,
    CASE WHEN payer = 'payer' THEN difference / ($members::DOUBLE * 12) END AS per_member_per_month,
    money.currency
FROM sums
CROSS JOIN money
ORDER BY payer, year
