-- One row per year: persons eligible for screening, and how well the number behind it is known.
-- Reads market_years (MarketYears.table) and the staged entry `eligible` of $setting.
SELECT
    $setting AS setting,
    years.year,
    years.eligible,
    years.eligible - lag(years.eligible) OVER (ORDER BY years.year) AS change,
    entry.population,
    entry.status,
    entry.trust,
    entry.sources[1].link AS source
FROM market_years AS years
LEFT JOIN market.parameters AS entry ON entry.setting = $setting AND entry.id = 'eligible'
ORDER BY years.year
