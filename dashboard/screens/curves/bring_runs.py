"""Other people's runs: a place to bring their files, and what was taken for what in each log."""

from dataclasses import replace

import streamlit as st

from dashboard.screens import foreign_runs
from dashboard.screens.foreign_runs import Source
from dashboard.session import Value
from dashboard.words import verbatim
from gridlstm.curves import CurveError
from gridlstm.curves.importing import (
    IMPORT_UNITS,
    Columns,
    ImportedRuns,
    find_run_columns,
    training_loss,
)
from gridlstm.curves.importing.event_files import MAX_EVENT_FILE_BYTES
from gridlstm.curves.importing.names import metric

SECONDS_BETWEEN_LOOKS = 5
MAX_NAMED = 12
# With more lines than these, they scroll in a box of so many pixels.
MAX_SHOWN_LINES, LINES_HEIGHT = 12, 640
# What was wrong with the files that were brought last, how many are no logs, and how often some
# were brought.
_FAULTS: Value[tuple[str, ...]] = Value("run_faults", ())
_OTHERS: Value[int] = Value("run_others", 0)
_TIMES_TAKEN: Value[int] = Value("run_files_turn", 0)
# Which logs' lines are open, by the logs' keys.
_OPENED: Value[dict[str, bool]] = Value("opened_logs")


def bring_runs() -> None:
    """A place for files, and a line for every log brought or watched that opens."""
    st.header("Other people's runs", anchor=False)
    st.markdown(
        "Logs of other programs: **CSV** tables, exports of **Weights & Biases**, **TensorBoard** "
        "event files and downloads, **JSON** logs (Hugging Face, torch-rnn), what **nanoGPT** and "
        "char-rnn print. Only you will see the runs, above, until you close this visit.",
        help="Which column is what is guessed from its name and said below; each line opens, and "
        "what was taken can be changed. Losses are taken to be per byte. Runs whose names differ "
        "only in “seed 1”, “seed 2” and so on count as seeds of one model. Who runs this program "
        "can also have folders watched: with the environment variable "
        "`GRIDLSTM_RUNS=folder:folder` the logs in them appear above and move by themselves. "
        "`docs/formats.md` has a table of all layouts.",
    )
    _choose_files()
    for fault in _FAULTS.get():
        st.error(verbatim(fault))
    if others := _OTHERS.get():
        st.caption(f"Files in the folder that no log is called as, passed over: {others}.")
    for source in foreign_runs.brought():
        show_brought(source)
    if foreign_runs.watched_folders():
        show_watched()


def _choose_files() -> None:
    """A place for files, or for a whole folder, empty again after each."""
    folder = st.toggle(
        "A whole folder",
        key="run_folder",
        help="TensorBoard's event files of one folder are one run, and the folders' names tell "
        "training from validation.",
    )
    st.file_uploader(
        "A folder of runs" if folder else "Files of runs",
        accept_multiple_files="directory" if folder else True,
        max_upload_size=MAX_EVENT_FILE_BYTES // 1_000_000,
        key=_place(folder).key,
        on_change=take_runs,
        args=(folder,),
    )


def take_runs(folder: bool) -> None:
    """Keep the files just brought, and offer an empty place for the next ones."""
    files = _place(folder).value
    logs = [file for file in files if not folder or foreign_runs.is_log_name(file.name)]
    faults = foreign_runs.bring([(file.name, file.getvalue()) for file in logs])
    said = [f"{name}: {fault}" for name, fault in faults.items()]
    _FAULTS.set(tuple(said))
    _OTHERS.set(len(files) - len(logs))
    _TIMES_TAKEN.set(_TIMES_TAKEN.value + 1)


def _place(folder: bool) -> Value[list]:
    """The place for files: another one each time some have been taken."""
    return Value(f"run_{'folder' if folder else 'files'}_{_TIMES_TAKEN.value}")


def show_brought(source: Source) -> None:
    """A log that was brought: the line that opens, and a button that takes it away."""
    with st.container(horizontal=True):
        line, button = st.container(), st.container(width="content")
    # First, so that it is there whatever becomes of the rest.
    with button:
        away = st.button("Take away", icon=":material/delete:", key=f"take away {source.key}")
    if away:
        foreign_runs.remove_log(source)
        st.rerun()
    with line:
        show_source(source)


@st.fragment(run_every=SECONDS_BETWEEN_LOOKS)
def show_watched() -> None:
    """The logs in the watched folders, a line each, and what lies beside them."""
    found = foreign_runs.watched()
    if found.sources:
        st.markdown("**In the watched folders**")
        with st.container(
            height=LINES_HEIGHT if len(found.sources) > MAX_SHOWN_LINES else "content"
        ):
            for source in found.sources:
                show_source(source)
    if found.passed_over:
        with st.expander(f"Files that hold no curve: {len(found.passed_over)}"):
            for said in found.passed_over:
                st.caption(said)


def show_source(source: Source) -> None:
    """The line of a log, which opens to what was taken for what and to selectors."""
    failed = isinstance(source.outcome, CurveError)
    first, *others = source.found.files
    name = verbatim(source.found.name if others or "tfevents" in first else first)
    # Open where something is to be chosen, and from then on as the visitor left it: kept apart from
    # the widget, which begins anew whenever its line changes.
    opened = _OPENED.set_if_new(dict)
    is_open: Value[bool] = Value(f"open {source.key}")

    def remember() -> None:
        opened[source.key] = is_open.value

    box = st.expander(
        f"**{name}**: {verbatim(line_of(source))}",
        icon=":material/error:" if failed else None,
        expanded=opened.setdefault(source.key, failed),
        key=is_open.key,
        on_change=remember,
    )
    if not box.open:
        return
    with box:
        changed = source.columns
        if source.found.log.own is None:
            changed = choose_columns(source)
        _tell(source)
        if _choose_names(source) or changed != source.columns:
            foreign_runs.columns_given()[source.key] = changed
            st.rerun()


def line_of(source: Source) -> str:
    """What was taken for what in a log, and what is to be said of it, in one line."""
    if isinstance(source.outcome, CurveError):
        return str(source.outcome)
    outcome = source.outcome
    notes = list(outcome.notes)
    line = f"{outcome.program.name}, {outcome.taken}"
    return line + (f"; {'; '.join(notes[:2])}" if notes else "") + (" …" if notes[2:] else "")


def choose_columns(source: Source) -> Columns:
    """Selectors of what the log's columns are, as they are chosen now."""
    log, columns, key = source.found.log, source.columns, source.key
    names, chosen_unit = log.names, Value(f"unit {key}")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        loss = _choose("Validation loss", names, columns.val_loss, f"loss {key}")
        if loss != columns.val_loss:
            # Of another metric the unit and what was measured beside it are guessed anew.
            unit = metric(loss or "").unit or "nats"
            train = training_loss(log, unit, loss)
            columns = replace(columns, val_loss=loss, unit=unit, train_loss=train)
            chosen_unit.set(unit)
            Value(f"train {key}").set(train)
        chosen_unit.set_if_new(lambda: columns.unit)
        unit = st.segmented_control(
            "Losses in",
            IMPORT_UNITS,
            required=True,
            help="Most programs log the natural logarithm, **nats**. **Perplexity** is e to the "
            "power of the nats per token.",
            key=chosen_unit.key,
        )
        train = _choose("Training loss", names, columns.train_loss, f"train {key}", "None")
        update = _choose("Updates", names, columns.update, f"update {key}", "None")
        epoch = _choose("Epochs", names, columns.epoch, f"epoch {key}", "None")
        runs = _choose_run_columns(source)
    chosen = {"unit": unit, "train_loss": train, "update": update, "epoch": epoch, "runs": runs}
    return replace(columns, **chosen)


def _choose_run_columns(source: Source) -> tuple[str, ...]:
    """By which columns the log's runs are told apart."""
    offered = find_run_columns(source.found.log)
    key, chosen = f"runs {source.key}", source.columns.runs
    # One that names too many runs can be given up, and not chosen.
    offered += [name for name in chosen if name not in offered]
    if not offered:
        return ()
    Value(key).set_if_new(lambda: list(chosen))
    return tuple(
        st.multiselect(
            "Runs told apart by", offered, placeholder="Nothing: one run", key=key, width=260
        )
    )


def _choose(
    label: str, names: list[str], value: str | None, key: str, none: str = "Choose a column"
) -> str | None:
    Value(key).set_if_new(lambda: value if value in names else None)
    return st.selectbox(label, names, index=None, placeholder=none, key=key, width=210)


def _tell(source: Source) -> None:
    """What was taken for what and what was not used, and every note."""
    outcome = source.outcome
    if isinstance(outcome, CurveError):
        st.error(verbatim(str(outcome)))
        return
    points = [f"Taken: {'; '.join(taken)}."] if (taken := _taken(outcome)) else []
    points += outcome.notes
    if outcome.program.caution:
        points.append(f"{outcome.program.name}: {outcome.program.caution}")
    used = {*vars(outcome.columns).values(), *outcome.columns.runs}
    if unused := [name[:40] for name in source.found.log.names if name not in used]:
        more = f" and {len(unused) - 20} more" if len(unused) > 20 else ""
        points.append(f"Not used: {', '.join(unused[:20])}{more}.")
    if len(source.found.files) > 1:
        points.append(f"Files: {', '.join(source.found.files[:20])}.")
    st.caption("\n".join(f"- {verbatim(point)}" for point in points))


def _taken(outcome: ImportedRuns) -> list[str]:
    words = {
        "update": "updates",
        "epoch": "epochs",
        "train_loss": "training loss",
        "val_loss": "validation loss",
        "seconds": "seconds",
        "bytes": "bytes",
        "accuracy": "accuracy",
    }
    found = {word: getattr(outcome.columns, field) for field, word in words.items()}
    return [f"{word} from {name[:60]}" for word, name in found.items() if name is not None]


def _choose_names(source: Source) -> bool:
    """A place for the name of each run; whether one was changed."""
    runs = source.runs
    if not 0 < len(runs) <= MAX_NAMED:
        return False
    given, changed = foreign_runs.names_given(), False
    with st.container(horizontal=True):
        for number, (run, name) in enumerate(runs.items(), start=1):
            label = "Name" if len(runs) == 1 else f"Name of run {number}"
            chosen = st.text_input(
                label, name, max_chars=80, key=f"name {source.key} {run}", width=260
            ).strip()
            if chosen and chosen != name:
                given[source.key, run] = chosen
                changed = True
    return changed
