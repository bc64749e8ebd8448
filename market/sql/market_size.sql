-- One row per level (TAM, SAM, SOM): its size, the factors it multiplies, the published band beside it.
-- Reads market_factors (MarketSize.table) and parameter_values (id, value: the values in use, as the band is
-- derived and has no staged value); the band is worldwide and no part of the size.
-- The size is the running product at the level's last factor, not multiplied anew: in another order of factors the
-- last digit is another one.
WITH placed AS (
    SELECT *, row_number() OVER () AS place FROM market_factors
),
levels AS (
    SELECT
        level,
        max(place) AS position,
        arg_max(product, place) AS size,
        string_agg(
            factor || ' ' || CASE WHEN value >= 1e5 THEN format('{:,.0f}', value) ELSE printf('%.6g', value) END,
            ' x ' ORDER BY place
        ) AS factors
    FROM placed
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
    levels.size,
    levels.factors,
    band.top_down_low,
    band.top_down_high,
    entry.currency,
    entry.trust AS band_trust
FROM levels
CROSS JOIN band
LEFT JOIN market.parameters AS entry ON entry.setting = $setting AND entry.id = 'top_down_high'
ORDER BY levels.position
