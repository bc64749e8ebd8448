-- One row per scenario and version; beside it one row per deletion or return of a scenario. Rows are only added.
CREATE TABLE IF NOT EXISTS scenario_versions (
    id VARCHAR,
    version INTEGER,
    name VARCHAR NOT NULL,
    note VARCHAR NOT NULL,
    setting VARCHAR NOT NULL,
    seed BIGINT NOT NULL,
    overrides VARCHAR NOT NULL,  -- JSON object, id -> number
    engine_version VARCHAR NOT NULL,
    created TIMESTAMP NOT NULL,  -- UTC
    results VARCHAR,             -- JSON
    choices VARCHAR,             -- JSON object, field -> value; null in versions older than this column
    PRIMARY KEY (id, version)
);
CREATE TABLE IF NOT EXISTS scenario_deletions (
    id VARCHAR,
    step INTEGER,
    deleted BOOLEAN NOT NULL,
    changed TIMESTAMP NOT NULL,  -- UTC
    PRIMARY KEY (id, step)
);
CREATE VIEW IF NOT EXISTS scenario_history AS
SELECT
    versions.*,
    version = max(version) OVER (PARTITION BY id) AS is_latest,
    CASE WHEN deletions.deleted THEN deletions.changed END AS deleted_at
FROM scenario_versions AS versions
LEFT JOIN (
    SELECT id, arg_max(deleted, step) AS deleted, arg_max(changed, step) AS changed
    FROM scenario_deletions
    GROUP BY id
) AS deletions USING (id);
