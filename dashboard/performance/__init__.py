"""Where a model is right and where it goes wrong: what the page Performance asks, draws and keeps."""
