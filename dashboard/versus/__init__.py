"""Scenarios side by side, saved and sent: what the page Compare asks and keeps."""
