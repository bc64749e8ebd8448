-- One row per run, scheme and part: how well the run did, with 95 % intervals as metrics.json gives them.
-- Reads documents. `part` is the source that was left out, or the name of a kept test; else NULL.
WITH results AS (
    SELECT name, content AS metrics FROM documents WHERE file = 'metrics.json' AND json_type(content) = 'OBJECT'
),
found AS (
    SELECT name, 'source' AS scheme, each.key AS part, each.value AS found
    FROM results, json_each(metrics->'$.leave_one_source_out') AS each
    UNION ALL
    SELECT name, 'group', NULL, metrics->'$.grouped_validation' FROM results
    UNION ALL
    SELECT name, 'test', NULL, metrics->'$.test' FROM results
    UNION ALL
    SELECT name, 'validation', NULL, metrics->'$.validation' FROM results
    UNION ALL
    SELECT name, 'kept test', each.key, each.value FROM results, json_each(metrics->'$.tests') AS each
)
SELECT
    name,
    scheme,
    part,
    try_cast(found->>'$.n_slices' AS BIGINT) AS n_slices,
    try_cast(found->>'$.n_groups' AS BIGINT) AS n_groups,
    try_cast(found->>'$.balanced_accuracy.value' AS DOUBLE) AS balanced_accuracy,
    try_cast(found->>'$.balanced_accuracy.low' AS DOUBLE) AS balanced_accuracy_low,
    try_cast(found->>'$.balanced_accuracy.high' AS DOUBLE) AS balanced_accuracy_high,
    try_cast(found->>'$.accuracy.value' AS DOUBLE) AS accuracy,
    try_cast(found->>'$.accuracy.low' AS DOUBLE) AS accuracy_low,
    try_cast(found->>'$.accuracy.high' AS DOUBLE) AS accuracy_high,
    try_cast(found->>'$.diseased_auc.value' AS DOUBLE) AS auc,
    try_cast(found->>'$.diseased_auc.low' AS DOUBLE) AS auc_low,
    try_cast(found->>'$.diseased_auc.high' AS DOUBLE) AS auc_high,
    try_cast(found->>'$.brier.value' AS DOUBLE) AS brier,
    try_cast(found->>'$.brier.low' AS DOUBLE) AS brier_low,
    try_cast(found->>'$.brier.high' AS DOUBLE) AS brier_high
FROM found
WHERE json_type(found) = 'OBJECT'
ORDER BY name, list_position(['source', 'group', 'test', 'validation', 'kept test'], scheme), part
