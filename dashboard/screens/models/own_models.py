"""A place for the visitor's own models, and those that have been brought."""

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.screens.models.other_programs import bring_other, show_brought
from dashboard.serving import loading
from dashboard.serving.loading import ModelEntry
from dashboard.session import Value
from dashboard.words import verbatim
from gridlstm.errors import UserError

# What was wrong with the files that were brought last, and how often some were brought.
_FAULTS: Value[tuple[str, ...]] = Value("upload_faults", ())
_TIMES_TAKEN: Value[int] = Value("model_files_turn", 0)


def bring_models(models: dict[str, ModelEntry]) -> None:
    """A place for models and curves, and what has been brought, each to be taken away."""
    st.header("Bring a model", anchor=False)
    st.markdown(
        "Drop here what your program wrote (PyTorch, Keras, TensorFlow, char-rnn, torch-rnn, ml5), "
        "**all files of one model together**, its vocabulary among them, or a `.safetensors` "
        "checkpoint of this program's with its curve `.csv`. Nothing in a file is executed, and "
        "only you will see the model, on every page, until you close this visit.",
        help="LSTM, GRU, plain RNN and Grid LSTM language models over characters or bytes: `.pt`, "
        "`.pth`, `.ckpt`, `.t7`, `.h5`, `.keras`, TensorFlow's `.index` with `.data`, ml5's "
        "`manifest.json` with its arrays, `.safetensors`. What is read of which program, and what "
        "is refused, stands in docs/import.md of the repository.",
    )
    st.file_uploader(
        "Files of a model",
        accept_multiple_files=True,
        help="At most 1 GB of them together.",
        key=_place().key,
        on_change=take_models,
    )
    for fault in _FAULTS.get():
        st.error(verbatim(fault))
    show_brought(models)
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
    faults, others = [], []
    for file in _place().value:
        data = file.getvalue()
        try:
            if loading.is_own_upload(file.name, data):
                loading.keep_upload(file.name, data)
            else:
                others.append((file.name, data))
        except UserError as error:
            faults.append(f"{file.name}: {error}")
        _free(file)
    if others and (fault := bring_other(others)):
        names = ", ".join(name for name, _ in others[:3]) + ("…" if len(others) > 3 else "")
        faults.append(f"{names}: {fault}")
    _FAULTS.set(tuple(faults))
    _TIMES_TAKEN.set(_TIMES_TAKEN.value + 1)


def _place() -> Value[list]:
    """The place for files: another one each time some have been taken."""
    return Value(f"model_files_{_TIMES_TAKEN.value}")


def _free(file) -> None:
    """Streamlit would keep what was brought in memory until the visit ends."""
    context = get_script_run_ctx()
    context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
