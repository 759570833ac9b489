"""What the gates that keep memories do over a whole text: how open they are, and which hardly ever
move; and which layer reads which, where a model has gates for that."""

import streamlit as st

from dashboard import words
from dashboard.charts.theme import plot_config
from dashboard.screens import choices
from dashboard.screens.gates.charts import feedback, gate_distribution, saturation_plot
from dashboard.screens.reading import Reading, read, text_line, usable_models
from dashboard.screens.refusal import refused
from dashboard.screens.tokens import token_name
from dashboard.serving.estimates import estimate_ranking_seconds
from dashboard.serving.kept import kept
from dashboard.session import Cell
from gridlstm.analysis.saturation import gate_histogram, saturation
from gridlstm.progress import Progress

FEEDBACK = "feedback.reset"


def statistics(reading: Reading) -> tuple[dict, dict]:
    """By quantity: histogram counts [layer, bin], and shares (left, right) [layer, unit]."""
    memories = reading.entry.metadata.model.form.memories
    gates = {memory.keep: reading.trace.values[memory.keep] for memory in memories}

    def make(progress: Progress) -> tuple[dict, dict]:
        counts, saturated = {}, {}
        for done, (quantity, values) in enumerate(gates.items()):
            progress(done / len(gates))
            counts[quantity] = gate_histogram(values)
            progress((done + 0.5) / len(gates))
            saturated[quantity] = saturation(values)
        return counts, saturated

    seconds = estimate_ranking_seconds(reading.trace, 2 * len(gates))
    return kept(
        "gates",
        reading.entry.version,
        reading.text.data,
        make,
        label="Counting the gates …",
        seconds=seconds,
    )


def show_kept(reading: Reading) -> None:
    """How open the gates are, and the units that hardly ever forget, or always do."""
    entry = reading.entry
    counts, saturated = statistics(reading)
    st.header("How open the gates are", anchor=False)
    st.caption(
        f"All units of a layer at every {token_name(entry)} of the text; each row is scaled to its "
        "own peak."
    )
    st.plotly_chart(
        gate_distribution({words.QUANTITIES[q].label: count for q, count in counts.items()}),
        config=plot_config(f"{entry.name}-forget-gates"),
        key="distribution",
    )
    st.header(
        "Units that hardly ever forget, or always do",
        anchor=False,
        help="The saturation plot of Karpathy, Johnson and Li (2015): each point is one unit. "
        "Right-saturated means above 0.9, left-saturated below 0.1.",
    )
    st.caption(
        "Each point is one unit: the higher, the more of the text it keeps its memory; the further "
        "right, the more of it it wipes its memory. On the dashed line it does nothing else. "
        "**Click a point to open that gate.**"
    )
    with st.container(horizontal=True):
        for quantity, (left, right) in saturated.items():
            show_saturation(entry.name, quantity, left, right)


def show_saturation(name: str, quantity: str, left, right) -> None:
    """The saturation plot of one gate; a click opens it."""
    dimension = quantity.split(".")[0]
    with st.container(width=520):
        chosen = st.plotly_chart(
            saturation_plot(right, left, words.QUANTITIES[quantity].label),
            config=plot_config(f"{name}-{dimension}-saturation"),
            on_select="rerun",
            selection_mode="points",
            key=f"saturation-{dimension}",
        )
    if chosen.selection.points:
        layer, unit = chosen.selection.points[0]["customdata"]
        choices.open_cell(Cell(quantity, int(layer) + 1, int(unit)))


def show_feedback(reading: Reading) -> None:
    """Which layer reads which: over the whole text, or at one character."""
    characters = reading.text.characters
    st.header(
        "Which layer reads which",
        anchor=False,
        help="The global reset gates of the gated-feedback network (Chung et al. 2015): each layer "
        "reads what every layer showed at the character before, each through one gate.",
    )
    whole = st.toggle("Mean over the whole text", value=True, key="feedback_mean")
    values = reading.trace.values[FEEDBACK]
    if whole:
        resets = values.mean(axis=1, dtype="float32")
    else:
        at = st.number_input("Character", 1, len(characters), key="feedback_at", width=150) - 1
        before, here = characters[max(0, at - 40) : at], characters[at]
        st.caption(f"after {words.verbatim(repr(before))}, at {words.verbatim(repr(here))}")
        resets = values[:, reading.positions[at]]
    st.plotly_chart(
        feedback(resets), config=plot_config(f"{reading.entry.name}-feedback"), key="feedback"
    )


st.title("Forget gates")
st.markdown(
    "A forget gate says how much of a memory is kept: **1 keeps** all of it, **0 wipes** it. The "
    "time gates act from one character to the next; depth gates, where a model has them, act from "
    "one layer up to the next."
)
text_line()
models = usable_models()
if refused(models):
    st.stop()
entry = choices.choose_reader(models)
reading = read(entry, choices.current_text())
if refused(reading):
    st.stop()
form = entry.metadata.model.form
keeping = [words.QUANTITIES[memory.keep] for memory in form.memories]
if not keeping:
    st.info(f"The {form.title} has no gate that keeps a memory: it has no memory but its state.")
else:
    if any(".forget" not in memory.keep for memory in form.memories):
        st.caption("Here that is: " + " ".join(f"**{w.label}**: {w.meaning}" for w in keeping))
    show_kept(reading)
if FEEDBACK in reading.trace.values:
    show_feedback(reading)
