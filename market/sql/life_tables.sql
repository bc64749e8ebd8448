-- One row per setting, sex and age: deaths per person-year lived at that age; the last age stands for all after.
CREATE TABLE life_tables AS
SELECT setting, period, sex, age, deaths_per_person_year
FROM (
    SELECT unnest(from_json($rows, '[{
        "setting": "VARCHAR", "period": "VARCHAR", "sex": "VARCHAR", "age": "INTEGER",
        "deaths_per_person_year": "DOUBLE"
    }]'), max_depth := 2)
)
ORDER BY setting, sex, age
