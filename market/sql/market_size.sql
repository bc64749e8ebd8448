-- One row per level (TAM, SAM, SOM): its size, the factors it multiplies, the published band beside it.
-- Reads market_factors (MarketSize.table) and parameter_values (id, value: the values in use, as the band is
-- derived and has no staged value); the band is worldwide and no part of the size.
WITH levels AS (
    SELECT
        level,
        list_position(['TAM', 'SAM', 'SOM'], level) AS position,
        product(value) AS factor,
        string_agg(factor || ' ' || printf('%.6g', value), ' x ') AS factors
    FROM market_factors
    GROUP BY level
),
band AS (
    SELECT
        max(value) FILTER (id = 'top_down_low') AS top_down_low,
        max(value) FILTER (id = 'top_down_high') AS top_down_high
    FROM parameter_values
)
SELECT
    levels.level,
    product(levels.factor) OVER (ORDER BY levels.position) AS size,
    levels.factors,
    band.top_down_low,
    band.top_down_high,
    entry.currency,
    entry.trust AS band_trust
FROM levels
CROSS JOIN band
LEFT JOIN market.parameters AS entry ON entry.setting = $setting AND entry.id = 'top_down_high'
ORDER BY levels.position
