-- One row per image that $first or $second predicted under $scheme; the columns of one side are NULL where it did not.
-- Images with the same bytes are paired in the order of source and file.
WITH first AS (
    SELECT
        sha256,
        row_number() OVER (PARTITION BY sha256 ORDER BY source, file) AS copy,
        label AS first_label,
        "group" AS first_group,
        COLUMNS('^(p_.*)$') AS 'first_\1'
    FROM read_parquet($first)
    WHERE scheme = $scheme
),
second AS (
    SELECT
        sha256,
        row_number() OVER (PARTITION BY sha256 ORDER BY source, file) AS copy,
        label AS second_label,
        "group" AS second_group,
        COLUMNS('^(p_.*)$') AS 'second_\1'
    FROM read_parquet($second)
    WHERE scheme = $scheme
)
FROM first
FULL JOIN second USING (sha256, copy)
ORDER BY sha256, copy
