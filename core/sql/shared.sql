-- One row per scheme under which both $first and $second predicted an image, with the number of images they share.
SELECT scheme, count(*) AS images
FROM (SELECT DISTINCT scheme, sha256 FROM read_parquet($first)) AS first
JOIN (SELECT DISTINCT scheme, sha256 FROM read_parquet($second)) AS second USING (scheme, sha256)
GROUP BY scheme
ORDER BY list_position(['source', 'group', 'test', 'validation'], scheme) NULLS LAST, scheme
