-- One row per run folder: what its config.json says, how far it is, and what is wrong with it where something is.
-- Reads folders, documents and epochs (stage.sql).
WITH configs AS (
    SELECT name, content AS config FROM documents WHERE file = 'config.json'
),
results AS (
    SELECT name, content AS metrics FROM documents WHERE file = 'metrics.json'
),
counts AS (
    SELECT configs.name, unnest(from_json(
        config->'$.data.counts',
        '[{"source": "VARCHAR", "label": "VARCHAR", "part": "VARCHAR", "images": "BIGINT", "groups": "BIGINT"}]'
    )) AS item
    FROM configs
    WHERE json_type(config, '$.data.counts') = 'ARRAY'
),
data AS (
    SELECT
        name,
        list_sort(list(DISTINCT item.source) FILTER (item.source IS NOT NULL)) AS sources,
        coalesce(sum(item.images) FILTER (item.part = 'train'), 0)::BIGINT AS train_images,
        coalesce(sum(item.images) FILTER (item.part IN ('train', 'validation')), 0)::BIGINT AS images
    FROM counts
    WHERE item.part IN ('train', 'validation', 'test')
    GROUP BY name
),
done AS (
    SELECT name, count(*) AS epochs_done FROM epochs GROUP BY name
),
judged AS (
    SELECT
        folders.*,
        config,
        CASE
            WHEN NOT has_config THEN 'there is no config.json'
            WHEN config IS NULL THEN 'config.json cannot be read as JSON'
            WHEN json_type(config) != 'OBJECT' THEN 'config.json holds no JSON object'
            WHEN json_type(config, '$.labels') IS DISTINCT FROM 'ARRAY' THEN 'config.json has no list of labels'
            WHEN json_type(config, '$.recipe') IS DISTINCT FROM 'OBJECT' THEN 'config.json has no recipe'
            WHEN json_type(config, '$.members') = 'ARRAY' AND model_bytes IS NULL
                THEN 'the network of a member is missing or another one now'
            WHEN model_bytes = 0 THEN 'model.onnx is empty'
            WHEN has_metrics AND json_type(metrics) IS DISTINCT FROM 'OBJECT' THEN 'metrics.json cannot be read as JSON'
            WHEN history_bytes > 0 AND coalesce(epochs_done, 0) = 0 THEN 'history.csv holds no epoch that can be read'
        END AS problem,
        coalesce(epochs_done, 0) AS epochs_done
    FROM folders
    LEFT JOIN configs USING (name)
    LEFT JOIN results USING (name)
    LEFT JOIN done USING (name)
)
SELECT
    name,
    CASE WHEN problem IS NOT NULL THEN 'damaged' WHEN model_bytes > 0 THEN 'finished' ELSE 'unfinished' END AS state,
    problem,
    config->>'$.recipe.name' AS recipe,
    config->>'$.recipe.backbone' AS backbone,
    try_cast(config->>'$.recipe.batch_size' AS BIGINT) AS batch_size,
    try_cast(config->>'$.recipe.epochs' AS BIGINT) AS epochs,
    epochs_done,
    try_cast(config->>'$.created' AS TIMESTAMP) AS created,
    try_cast(config->>'$.seed' AS BIGINT) AS seed,
    config->>'$.weights.name' AS weights,
    config->>'$.data.checksum' AS checksum,
    coalesce(sources, []) AS sources,
    images,
    train_images,
    model_bytes
FROM judged
LEFT JOIN data USING (name)
ORDER BY created DESC NULLS LAST, name
