-- One row per JSON file in $paths.
INSERT INTO documents
SELECT files.name, files.file, try_cast(try(decode(content)) AS JSON)
FROM read_blob($paths)
JOIN files USING (filename)
