"""Train: choose a training, see what it will do, start it, watch it."""
