"""Every number of the market models with its source: what the page Sources asks and shows."""
