"""The economic half, to come: cited parameters -> models -> decisions. Never imports streamlit or core."""
