-- One row per scheme in the predictions at $path, with its number of slices.
SELECT scheme, count(*) AS n_slices
FROM read_parquet($path)
GROUP BY scheme
ORDER BY list_position(['source', 'group', 'test', 'validation'], scheme) NULLS LAST, scheme
