"""Other people's runs: a place to bring their files, and to say what the columns are."""

from dataclasses import replace

import streamlit as st

from dashboard import foreign_runs
from dashboard.foreign_runs import Import
from dashboard.words import verbatim
from gridlstm.curves import UNITS, CurveError, Foreign
from gridlstm.curves.reading import MOST_BYTES


def bring_runs() -> None:
    """A place for files, and what has been brought, each with the choice of its columns."""
    st.header("Other people's runs", anchor=False)
    st.markdown(
        "A CSV log with a column that counts updates and one of validation losses, a CSV export of "
        "a chart of **Weights & Biases**, or an event file of **TensorBoard**. Only you will see "
        "the runs, above, until you close this visit.",
        help="Which column is what is guessed from its name, and can be changed here. Losses are "
        "taken to be per byte. Runs whose names differ only in “seed 1”, “seed 2” and so on "
        "count as seeds of one model. Who runs this program can also have folders watched: with "
        "the environment variable `GRIDLSTM_RUNS=folder:folder` (losses in nats) the curves, "
        "exports and event files in them appear above and move by themselves.",
    )
    st.file_uploader(
        "Files of runs",
        accept_multiple_files=True,
        max_upload_size=MOST_BYTES // 1_000_000,
        key=f"run_files_{st.session_state.get('run_files_turn', 0)}",
        on_change=take_runs,
    )
    for fault in st.session_state.get("run_faults", []):
        st.error(verbatim(fault))
    for key, brought in list(foreign_runs.imports().items()):
        with st.container(border=True):
            changed = choose_columns(key, brought)
        if changed is None:
            del foreign_runs.imports()[key]
        else:
            foreign_runs.imports()[key] = changed
        if changed != brought:
            st.rerun()


def take_runs() -> None:
    """Keep the files just brought, and offer an empty place for the next ones."""
    turn = st.session_state.get("run_files_turn", 0)
    faults = []
    for file in st.session_state[f"run_files_{turn}"]:
        try:
            foreign_runs.bring(file.name, file.getvalue())
        except CurveError as error:
            faults.append(f"{file.name}: {error}")
    st.session_state["run_faults"] = faults
    st.session_state["run_files_turn"] = turn + 1


def choose_columns(key: str, brought: Import) -> Import | None:
    """What a file's columns are, and their unit, as it is chosen now; None to take it away."""
    foreign, columns, unit = brought.foreign, brought.columns, brought.unit
    count = len(foreign.runs)
    st.markdown(
        f"**{verbatim(brought.name)}**: {foreign.kind.replace('&', '&amp;')}, {count} "
        f"run{'s' if count > 1 else ''}"
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if not foreign.own:
            update = _choose_column("Updates", columns.update, foreign, f"update {key}")
            loss = _choose_column("Validation loss", columns.val_loss, foreign, f"loss {key}")
            columns = replace(columns, update=update, val_loss=loss)
            unit = st.segmented_control(
                "Losses in",
                UNITS[::-1],
                default=unit,
                required=True,
                help="Most programs log the natural logarithm: nats.",
                key=f"unit {key}",
            )
        if st.button("Take away", icon=":material/delete:", key=f"take away {key}"):
            return None
    chosen = replace(brought, columns=columns, unit=unit)
    try:
        chosen.curves()
    except CurveError as error:
        st.error(verbatim(str(error)))
    return chosen


def _choose_column(label: str, value: str | None, foreign: Foreign, key: str) -> str | None:
    names = foreign.columns
    return st.selectbox(
        label,
        names,
        index=names.index(value) if value in names else None,
        placeholder="Choose a column",
        key=key,
        width=260,
    )
