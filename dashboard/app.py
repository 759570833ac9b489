"""`streamlit run dashboard/app.py`: the router and what every page shares."""

import streamlit as st

from dashboard import address, choices, first_look, libraries, loading, turn

SIDEBAR_WIDTH = 220
# Streamlit writes on its primary colour in white, whatever that is. `Canvas` is what browsers put
# behind a page: white, and almost black in a dark theme, whose primary colour is light.
TEXT_ON_PRIMARY = '<style>.stApp button[kind="primary"]:enabled { color: Canvas }</style>'

st.set_page_config(
    page_title="Microscope for recurrent networks",
    page_icon="🔬",
    layout="wide",
    initial_sidebar_state=SIDEBAR_WIDTH,
)
st.html(TEXT_ON_PRIMARY)
loading.remove_left_folders_meanwhile()

page = st.navigation(
    [
        st.Page("views/text.py", title="Text", icon=":material/notes:", default=True),
        st.Page("views/cells.py", title="Cells", icon=":material/grid_view:"),
        st.Page("views/gates.py", title="Forget gates", icon=":material/water_drop:"),
        st.Page("views/find.py", title="Find a cell", icon=":material/search:"),
        st.Page("views/provenance.py", title="Who wrote it", icon=":material/history_edu:"),
        st.Page("views/switch_off.py", title="Switch off", icon=":material/power_settings_new:"),
        st.Page("views/write.py", title="Let it write", icon=":material/edit:"),
        st.Page("views/addition.py", title="Addition", icon=":material/calculate:"),
        st.Page("views/curves.py", title="Curves", icon=":material/show_chart:"),
        st.Page("views/models.py", title="Models", icon=":material/inventory_2:"),
    ]
)
turn.begin_request()
if address.take() and page.url_path == "":
    first_look.open_if_there()
address.follow(page.url_path)
choices.keep_a_sample()
choices.open_noted_page()
address.carry(page.url_path)
address.show()
page.run()
address.carried(page.url_path)
address.show()
libraries.settle()
