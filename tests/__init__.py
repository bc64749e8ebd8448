"""Tests: flat, one file a behaviour."""
