-- One row per currency and year: the level of the index by which costs are brought to one year.
CREATE TABLE price_index AS
SELECT currency, year, level, label, trust
FROM (
    SELECT unnest(from_json($rows, '[{
        "currency": "VARCHAR", "year": "INTEGER", "level": "DOUBLE", "label": "VARCHAR", "trust": "VARCHAR"
    }]'), max_depth := 2)
)
ORDER BY currency, year
