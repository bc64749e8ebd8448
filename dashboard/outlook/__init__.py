"""Adoption of AI and size of its market: what the page Adoption and market asks and draws."""
