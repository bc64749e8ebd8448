-- One row per setting and parameter: the entry that holds there, the setting's own or the global one, as cited.
-- Money is in the prices of price_year; value is NULL where it follows from a formula, maximum where there is none.
CREATE TABLE parameters AS
SELECT
    setting,
    id,
    entry_setting,
    label,
    unit,
    currency,
    price_year,
    population,
    status,
    trust,
    value,
    distribution,
    low,
    high,
    interval_by,
    standard_error,
    events,
    n,
    minimum,
    maximum,
    formula,
    inputs,
    targets,
    reason,
    note,
    interval_note,
    used_by,
    sources,
    file,
    line
FROM (
    SELECT unnest(from_json($rows, '[{
        "setting": "VARCHAR", "id": "VARCHAR", "entry_setting": "VARCHAR", "label": "VARCHAR", "unit": "VARCHAR",
        "currency": "VARCHAR", "price_year": "INTEGER", "population": "VARCHAR", "status": "VARCHAR",
        "trust": "VARCHAR", "value": "DOUBLE", "distribution": "VARCHAR", "low": "DOUBLE", "high": "DOUBLE",
        "interval_by": "VARCHAR", "standard_error": "DOUBLE", "events": "DOUBLE", "n": "DOUBLE",
        "minimum": "DOUBLE", "maximum": "DOUBLE", "formula": "VARCHAR", "inputs": ["VARCHAR"],
        "targets": ["VARCHAR"], "reason": "VARCHAR", "note": "VARCHAR", "interval_note": "VARCHAR",
        "used_by": ["VARCHAR"],
        "sources": [{"title": "VARCHAR", "link": "VARCHAR", "locator": "VARCHAR"}],
        "file": "VARCHAR", "line": "INTEGER"
    }]'), max_depth := 2)
)
ORDER BY setting, id
