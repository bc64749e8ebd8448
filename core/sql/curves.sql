-- One row per run and epoch, for the runs in $names: the epoch's measurements, with its step and minutes since the start.
-- Reads epochs and runs (runs.sql). A step is one batch; NULL where config.json does not say how large.
SELECT
    epochs.* EXCLUDE (seconds),
    epoch * ceil(train_images / nullif(batch_size, 0)) AS step,
    sum(seconds) OVER (PARTITION BY name ORDER BY epoch) / 60 AS minutes
FROM epochs
JOIN runs USING (name)
WHERE list_contains($names, name)
ORDER BY list_position($names, name), epoch
