"""The market pages' own parts: the scenario, its link, its controls, and what computes for them."""
