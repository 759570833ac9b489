"""Charts: arrays in, plotly figures out. Nothing here knows Streamlit or the models."""
