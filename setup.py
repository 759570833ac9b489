"""What is installed: both packages, and the shipped models, which lie outside of them."""

from setuptools import find_namespace_packages, setup

CHECKPOINTS = {"gridlstm.shipped": "checkpoints", "gridlstm.shipped.data": "checkpoints/data"}

setup(
    packages=find_namespace_packages(
        include=["gridlstm", "gridlstm.*", "dashboard", "dashboard.*"], exclude=["*.__pycache__"]
    )
    + list(CHECKPOINTS),
    package_dir=CHECKPOINTS,
    package_data={
        "dashboard": [".streamlit/config.toml"],
        "dashboard.coloured_text": ["*.mjs", "*.css"],
        "dashboard.samples": ["*"],
        **dict.fromkeys(
            CHECKPOINTS, ["*.safetensors", "*.index.json", "*.csv", "*.md", "*.xz", "*.npz"]
        ),
    },
)
