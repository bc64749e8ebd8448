"""What the pages Paper and Model card ask of core."""
