"""A place for the visitor's own models, and those that have been brought."""

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.serving import loading
from dashboard.session import Value
from dashboard.words import verbatim
from gridlstm.errors import UserError

# What was wrong with the files that were brought last, and how often some were brought.
_FAULTS: Value[tuple[str, ...]] = Value("upload_faults", ())
_TIMES_TAKEN: Value[int] = Value("model_files_turn", 0)


def bring_models() -> None:
    """A place for checkpoints and curves, and what has been brought, each to be taken away."""
    st.header("Your own model", anchor=False)
    st.markdown(
        "A `.safetensors` checkpoint written by `python -m gridlstm train`, and its curve `.csv` "
        "of the same name. Only you will see them, on every page, until you close this visit. Of "
        "an LSTM, a GRU or a plain RNN that your own PyTorch program trained, a few lines of "
        "Python make such a checkpoint: see `docs/python.md` in the repository."
    )
    st.file_uploader(
        "Checkpoint and curve",
        type=["safetensors", "csv"],
        accept_multiple_files=True,
        help="At most 1 GB of them together.",
        key=_place().key,
        on_change=take_models,
    )
    for fault in _FAULTS.get():
        st.error(verbatim(fault))
    for number, (name, size) in enumerate(loading.uploaded_files()):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{verbatim(name)} · {size / 1e6:,.1f} MB", width="content")
            st.button(
                "Take away",
                icon=":material/delete:",
                type="tertiary",
                key=f"take away model {number}",
                on_click=loading.remove_upload,
                args=[name],
            )


def take_models() -> None:
    """Keep the files just brought, and offer an empty place for the next ones."""
    faults, files = [], _place().value
    for file in files:
        try:
            loading.keep_upload(file.name, file.getvalue())
        except UserError as error:
            faults.append(f"{file.name}: {error}")
        _free(file)
    _FAULTS.set(tuple(faults))
    _TIMES_TAKEN.set(_TIMES_TAKEN.value + 1)


def _place() -> Value[list]:
    """The place for files: another one each time some have been taken."""
    return Value(f"model_files_{_TIMES_TAKEN.value}")


def _free(file) -> None:
    """Streamlit would keep what was brought in memory until the visit ends."""
    context = get_script_run_ctx()
    context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
