"""Where a visit begins: choose the text that the models will read."""

import streamlit as st

from dashboard import words
from dashboard.screens import choices
from dashboard.screens.text import own_file
from dashboard.serving import loading
from dashboard.session import Value, session
from gridlstm.analysis.properties import inside_url
from gridlstm.text import from_string

UPLOAD_MEGABYTES = 10
PREVIEW_CHARACTERS = 4000
TYPED_TITLE = "Your text"
UPLOAD: Value = Value("upload")
# What was typed when it was taken last, and that what came last was empty.
TYPED_BEFORE: Value[str] = Value("typed_before", "")
IS_EMPTY: Value[bool] = Value("empty_text")
SOURCES = [choices.A_SAMPLE, choices.TYPED, choices.UPLOADED]


def take_typed(typed: str) -> None:
    if typed:
        own_file.forget_file()
        choices.use_text(from_string(typed), TYPED_TITLE)
    else:
        IS_EMPTY.set(True)


def take_upload() -> None:
    file = UPLOAD.value
    if file is None:
        return
    data = file.getvalue()
    if data:
        own_file.take_file(file.name, data)
    else:
        IS_EMPTY.set(True)


st.title("A microscope for deep recurrent networks")
st.markdown(
    "A character-level network reads a text byte by byte and guesses what comes next. "
    "Give it a text and look inside: which **memory cell** lights up inside a web address, which "
    "**forget gate** lets go of it, and how a **Grid LSTM** carries a memory up through its layers."
)

choices.keep_valid(session.source, SOURCES)
source = st.segmented_control(
    "Where the text comes from",
    SOURCES,
    required=True,
    key=session.source.key,
    persist_state="session",
    label_visibility="collapsed",
)
if source == choices.A_SAMPLE:
    listing = choices.samples()
    files = list(listing)
    file = st.selectbox(
        "Sample",
        files,
        index=files.index(session.sample.value),
        format_func=lambda file: listing[file].title,
        key="sample_choice",
    )
    st.caption(listing[file].description)
    if file != session.sample.value or session.has_own_text:
        if session.has_own_text:
            st.button("Use this sample", on_click=choices.use_sample, args=[file])
        else:
            choices.use_sample(file)
            st.rerun()
elif source == choices.TYPED:
    typed = st.text_area(
        "Your text",
        key="pasted",
        height=180,
        placeholder="Type or paste anything: prose, wiki markup, code, with http://example.org/ …",
        persist_state="session",
    )
    # Not where a change is told: a click that follows at once would end what is told of it.
    if typed != TYPED_BEFORE.get():
        TYPED_BEFORE.set(typed)
        take_typed(typed)
    elif typed and choices.current_title() != TYPED_TITLE:
        st.button("Use this text", on_click=take_typed, args=[typed])
else:
    st.file_uploader(
        f"Any text file, at most {UPLOAD_MEGABYTES} MB; the first {choices.MAX_SHOWN_BYTES:,} "
        "bytes are "
        "used",
        key=UPLOAD.key,
        on_change=take_upload,
        max_upload_size=UPLOAD_MEGABYTES,
    )
if IS_EMPTY.forget():
    st.warning("That text is empty, so the one before stays in use.")

if st.button("Look inside", type="primary", icon=":material/visibility:"):
    st.switch_page(choices.CELLS_PAGE)

text = choices.current_text()
with st.container(border=True):
    st.header(words.verbatim(choices.current_title()), anchor=False)
    urls = int(inside_url(text.characters).sum())
    st.caption(
        f"In use on every page: {len(text.characters):,} characters, {len(text.data):,} bytes"
        + (f"; {urls:,} characters lie inside web addresses." if urls else ".")
    )
    if text.note:
        st.info(words.verbatim(text.note))
    own_file.choose_encoding()
    st.code(text.characters[:PREVIEW_CHARACTERS], language=None, wrap_lines=True, height=260)
    if len(text.characters) > PREVIEW_CHARACTERS:
        st.caption(f"The first {PREVIEW_CHARACTERS:,} characters.")
loading.import_libraries_in_background()
