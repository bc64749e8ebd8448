-- One row per scenario and year: sites that use an AI, scans it reads, and what all vendors and one earn.
-- Reads adoption_years (Adoption.table of one scenario or several).
SELECT
    scenario,
    year,
    share,
    sites,
    new_sites,
    scans,
    price,
    revenue,
    vendor_revenue,
    sum(revenue) OVER so_far AS revenue_so_far,
    sum(vendor_revenue) OVER so_far AS vendor_revenue_so_far,
    new_sites = max(new_sites) OVER (PARTITION BY scenario) AS is_peak
FROM adoption_years
WINDOW so_far AS (PARTITION BY scenario ORDER BY year)
ORDER BY scenario, year
