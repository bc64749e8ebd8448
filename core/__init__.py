"""Diagnostics: images -> model -> metrics. Never imports streamlit or market."""
