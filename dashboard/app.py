"""`streamlit run dashboard/app.py`: the router and what every page shares."""

import streamlit as st

from dashboard import address
from dashboard.screens import choices, first_look
from dashboard.serving import libraries, loading, turn

SIDEBAR_WIDTH = 220
# Streamlit writes on its primary colour in white, whatever that is. `Canvas` is what browsers put
# behind a page: white, and almost black in a dark theme, whose primary colour is light.
TEXT_ON_PRIMARY = '<style>.stApp button[kind="primary"]:enabled { color: Canvas }</style>'

# Title and icon of each page by its folder in `screens/`, which is also its address.
PAGES = {
    "text": ("Text", "notes"),
    "cells": ("Cells", "grid_view"),
    "gates": ("Forget gates", "water_drop"),
    "find": ("Find a cell", "search"),
    "provenance": ("Who wrote it", "history_edu"),
    "carried_up": ("Carried up?", "move_up"),
    "switch_off": ("Switch off", "power_settings_new"),
    "write": ("Let it write", "edit"),
    "addition": ("Addition", "calculate"),
    "curves": ("Curves", "show_chart"),
    "models": ("Models", "inventory_2"),
}
DEFAULT = "text"

st.set_page_config(
    page_title="Microscope for recurrent networks",
    page_icon="🔬",
    layout="wide",
    initial_sidebar_state=SIDEBAR_WIDTH,
)
st.html(TEXT_ON_PRIMARY)
loading.remove_left_folders_in_background()

page = st.navigation(
    [
        st.Page(
            f"screens/{folder}/view.py",
            title=title,
            icon=f":material/{icon}:",
            url_path=folder,
            default=folder == DEFAULT,
        )
        for folder, (title, icon) in PAGES.items()
    ]
)
turn.begin_request()
if address.take() and page.url_path == "":
    first_look.open_if_present()
address.follow(page.url_path)
choices.choose_default_sample()
choices.open_noted_page()
address.carry(page.url_path)
address.show()
page.run()
address.carried(page.url_path)
address.show()
libraries.settle()
