-- Empty tables for what is read from run folders; each names its grain.
-- one row per run folder
CREATE TABLE folders (
    name VARCHAR, has_config BOOLEAN, has_metrics BOOLEAN, model_bytes BIGINT, history_bytes BIGINT
);
-- one row per file of a run folder that is read below
CREATE TABLE files (filename VARCHAR, name VARCHAR, file VARCHAR);
-- one row per JSON file, content NULL where it is not UTF-8 or not JSON
CREATE TABLE documents (name VARCHAR, file VARCHAR, content JSON);
-- one row per run and epoch, NULL where a run did not measure
CREATE TABLE epochs (
    name VARCHAR,
    epoch DOUBLE,
    learning_rate DOUBLE,
    train_loss DOUBLE,
    train_accuracy DOUBLE,
    train_balanced_accuracy DOUBLE,
    validation_loss DOUBLE,
    validation_accuracy DOUBLE,
    validation_accuracy_low DOUBLE,
    validation_accuracy_high DOUBLE,
    validation_balanced_accuracy DOUBLE,
    validation_balanced_accuracy_low DOUBLE,
    validation_balanced_accuracy_high DOUBLE,
    images_per_second DOUBLE,
    seconds DOUBLE
);
