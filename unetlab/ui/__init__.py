"""Streamlit widgets and altair charts over run and data set folders. No torch."""
