-- One row per year: who is screened, the scans that makes, and where an AI could read them.
-- Reads market_years (MarketYears.table).
SELECT
    year,
    eligible,
    uptake,
    screened,
    scans,
    reachable_scans,
    scans - reachable_scans AS unreachable_scans,
    scans / nullif(screened, 0) AS scans_per_person,
    sum(scans) OVER (ORDER BY year) AS scans_so_far
FROM market_years
ORDER BY year
