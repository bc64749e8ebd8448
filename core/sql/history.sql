-- One row per run and epoch of the history.csv files in $paths; what is no number there becomes NULL.
INSERT INTO epochs
SELECT
    files.name,
    try_cast(epoch AS DOUBLE) AS nth,
    try_cast(learning_rate AS DOUBLE),
    try_cast(train_loss AS DOUBLE),
    try_cast(train_accuracy AS DOUBLE),
    try_cast(train_balanced_accuracy AS DOUBLE),
    try_cast(validation_loss AS DOUBLE),
    try_cast(validation_accuracy AS DOUBLE),
    try_cast(validation_accuracy_low AS DOUBLE),
    try_cast(validation_accuracy_high AS DOUBLE),
    try_cast(validation_balanced_accuracy AS DOUBLE),
    try_cast(validation_balanced_accuracy_low AS DOUBLE),
    try_cast(validation_balanced_accuracy_high AS DOUBLE),
    try_cast(images_per_second AS DOUBLE),
    try_cast(seconds AS DOUBLE)
FROM (
    FROM read_csv(
        $paths,
        header = true,
        delim = ',',
        all_varchar = true,
        union_by_name = true,
        filename = true,
        ignore_errors = true
    )
    UNION ALL BY NAME -- no row, only the columns that a file may lack
    SELECT COLUMNS(* EXCLUDE (name))::VARCHAR FROM epochs WHERE false
)
JOIN files USING (filename)
WHERE nth >= 1
