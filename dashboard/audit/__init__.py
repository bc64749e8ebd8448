"""The page Data: what is in data folders, and what leaks between their parts."""
