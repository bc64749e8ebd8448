"""The parts of the page Runs: its link, what it asks of core, its figures, tables and sentences."""
