"""Switch a unit off: hold it at a value while the model reads, and see what the model loses."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import choices, words
from dashboard.charts import intervention as charts
from dashboard.charts import theme
from dashboard.choices import Cell
from dashboard.clickable_table import table_of_cells
from dashboard.coloured_text import Scale, coloured_text
from dashboard.held import (
    AT_RANDOM,
    HELD_AT,
    NEEDS_MARKS,
    OWN_VALUE,
    RANKED,
    TEMPERATURE,
    WRITTEN_BYTES,
    Comparison,
    HeldUnit,
    ablated,
    prime_of,
    read_again,
    values_of,
    written,
)
from dashboard.loading import ModelEntry
from dashboard.reading import Reading, models_or_stop, read, text_line
from gridlstm.analysis.properties import PROPERTIES, measure_named
from gridlstm.errors import UserError
from gridlstm.networks.holds import Hold
from gridlstm.text import Text, printable_byte, truncate

# The model reads the text again for every choice, and some fifty times for the table.
MOST_CHARACTERS = 5_000
# A change that is smaller than this at every character is drawn pale, not blown up.
LEAST_LIMIT = 0.1

OWN_PATTERN = "pattern"


@dataclass(frozen=True)
class Target:
    """A property: its words, and which characters it holds of, bool [character].

    `marks` is None where the property tells no two characters of the text apart.
    """

    title: str
    marks: np.ndarray | None


# -- What is held ---------------------------------------------------------------------------------


def beginning(text: Text) -> Text:
    """As much of a text as this page reads, with a caption where that is not all."""
    if len(text.characters) <= MOST_CHARACTERS:
        return text
    st.caption(
        f"For this page the text is cut to its first {MOST_CHARACTERS:,} characters, as the model "
        "reads it again for every choice."
    )
    return truncate(text, int(text.last_byte[MOST_CHARACTERS - 1]) + 1)


def choose_property(entry: ModelEntry, text: Text) -> Target:
    """A selector of the property by which the loss is split; a sentence where it splits nothing."""
    offered = [name for name, found in PROPERTIES.items() if found.kind == "mark"]
    pattern = st.session_state.get("pattern")
    if pattern:
        offered.append(OWN_PATTERN)
    offered = choices.keep_property(entry, offered)
    name = st.selectbox(
        "Property",
        offered,
        format_func=lambda n: PROPERTIES[n].title if n in PROPERTIES else "A pattern of my own",
        key="property",
        persist_state="session",
        help="The loss is shown inside and outside of it. A pattern of your own can be written on "
        "the page “Find a cell”.",
    )
    if name in PROPERTIES:
        title, full_name = PROPERTIES[name].title, name
        st.caption(PROPERTIES[name].explanation)
    else:
        title, full_name = "Matched by your pattern", f"pattern:{pattern}"
        st.caption(words.verbatim(pattern))
    try:
        return Target(title, measure_named(full_name, text.characters))
    except UserError as error:
        st.info(words.verbatim(str(error)))
        return Target(title, None)


def keep_holdable(entry: ModelEntry) -> None:
    """Where the cell chosen so far cannot be held, choose the memory that it belongs to."""
    config, quantity = entry.metadata.model, st.session_state.get("quantity", "")
    if quantity in config.quantities and quantity not in config.holdable:
        memory = config.memory(quantity.split(".")[0])
        st.session_state["quantity"] = memory.cell if memory else config.cells[0]


def tell_of_no_effect(entry: ModelEntry, cell: Cell) -> None:
    """Say so where the chosen gate keeps a memory that is always 0."""
    memory = entry.metadata.model.memory("depth")
    if memory and not memory.starts and (cell.quantity, cell.layer) == (memory.keep, 1):
        st.caption(
            "Holding this gate changes nothing: there is no memory below the first layer that it "
            "could keep. In the layers above it can."
        )


def choose_value(reading: Reading, cell: Cell, marks: np.ndarray | None) -> HeldUnit:
    """Selectors of the value at which the chosen unit is held."""
    is_gate = words.is_gate(cell.quantity)
    offered = [at for at in HELD_AT if at not in (("zero",) if is_gate else ("closed", "open"))]
    if marks is None:
        offered = [at for at in offered if at not in NEEDS_MARKS]
    choices.keep_valid("held_at", offered)
    at = st.segmented_control(
        "Held at",
        offered,
        required=True,
        format_func=lambda at: HELD_AT[at].label,
        help="\n\n".join(f"**{HELD_AT[at].label}**: {HELD_AT[at].meaning}" for at in offered),
        key="held_at",
        persist_state="session",
    )
    if at != OWN_VALUE:
        return HeldUnit(cell, at)
    return HeldUnit(cell, at, choose_number(values_of(reading, cell), is_gate))


def choose_number(values: np.ndarray, is_gate: bool) -> float:
    """A slider over the range of a unit's `values` [character], or of a gate, 0 to 1."""
    least, most = float(values.min()), float(values.max())
    low, high = (0.0, 1.0) if is_gate else (least, most)
    if low == high:
        st.caption(f"In this text the unit never varies: it is {low:.3f} at every character.")
        return low
    number = st.slider(
        "Value",
        low,
        high,
        float(np.clip(values.mean(dtype=np.float64), low, high)),
        step=(high - low) / 200,
        format="%.3f",
        # Another range is another slider: a value kept from one could lie outside of the other.
        key=f"held_value {low} {high}",
        help=f"In the units of the quantity itself. In this text the unit goes from {least:.3f} "
        f"to {most:.3f}; its mean is where the slider stands at first.",
        width=420,
    )
    return float(np.clip(number, low, high))


def held_list(entry: ModelEntry) -> dict[Cell, HeldUnit]:
    """The units that the visitor has put on the list for this model."""
    lists = st.session_state.setdefault("held_units", {})
    return lists.setdefault((entry.path, entry.stamp), {})


def choose_holds(reading: Reading, chosen: HeldUnit, marks: np.ndarray | None) -> tuple[Hold, ...]:
    """The chosen unit and those on the list, shown; ends the page if the chosen has no value."""
    listed = held_list(reading.entry)
    try:
        holds = [chosen.hold(reading, marks)]
    except UserError as error:
        st.error(words.verbatim(str(error)))
        st.stop()
    with st.container(border=True, gap="xsmall"):
        st.markdown("**Held while the model reads:**")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                described(chosen, holds[0]) + " *(chosen above)*",
                help="The value that the unit has at every character while the model reads, in "
                "the units of its quantity.",
            )
            st.button(
                "Add to the list",
                icon=":material/add:",
                type="tertiary",
                help="Keep this unit held while you choose another one to hold as well.",
                disabled=listed.get(chosen.cell) == chosen,
                on_click=lambda: listed.update({chosen.cell: chosen}),
            )
        for number, unit in enumerate(listed.values()):
            if hold := show_listed(
                unit, number, reading, marks, is_chosen=unit.cell == chosen.cell
            ):
                holds.append(hold)
    return tuple(sorted(holds, key=lambda h: (h.quantity, h.layer, h.unit)))


def described(unit: HeldUnit, hold: Hold) -> str:
    """One line on a unit that is held, Markdown."""
    how = HELD_AT[unit.at].label
    return f"{words.verbatim(unit.name)}, at **{hold.value:.3f}** ({how[0].lower()}{how[1:]})"


def show_listed(
    unit: HeldUnit, number: int, reading: Reading, marks: np.ndarray | None, *, is_chosen: bool
) -> Hold | None:
    """A line of the list with its button, and the hold; None, and the reason said, if there is
    none: the unit has no such value in this text, or is held as chosen instead."""
    listed = held_list(reading.entry)
    with st.container(horizontal=True, vertical_alignment="center"):
        hold = None
        try:
            if is_chosen:
                st.markdown(words.verbatim(unit.name) + " *(as chosen above)*")
            else:
                hold = unit.hold(reading, marks)
                st.markdown(described(unit, hold))
        except UserError as error:
            st.markdown(words.verbatim(f"{unit.name} is not held: {error}"))
        st.button(
            "Remove",
            icon=":material/close:",
            type="tertiary",
            key=f"remove_{number}",
            help="Take this unit off the list.",
            on_click=lambda: listed.pop(unit.cell, None),
        )
    return hold


# -- What is lost ---------------------------------------------------------------------------------


def compare(reading: Reading, holds: tuple[Hold, ...]) -> Comparison:
    """The text without and with the holds; ends the page with a sentence if it cannot be read."""
    try:
        return read_again(reading, holds)
    except UserError as error:
        st.error(words.verbatim(str(error)))
        st.stop()


def show_losses(comparison: Comparison, target: Target) -> None:
    """The mean surprise before and after: in the whole text, inside and outside the property."""
    parts = [("Whole text", "in the whole text", np.ones(len(comparison.after), bool))]
    if target.marks is not None:
        parts += [
            ("Inside", f"where this holds: {target.title}", target.marks),
            ("Outside", f"where this does not hold: {target.title}", ~target.marks),
        ]
    for place, (title, where, chosen) in zip(st.columns(3), parts, strict=False):
        known = chosen & ~np.isnan(comparison.after)
        with place.container(border=True):
            st.markdown(
                f"**{title}** · {known.sum():,} characters",
                help=f"How many characters there are {where}, of those that something predicts.",
            )
            show_loss(comparison.before[known], comparison.after[known], where)
    if not np.isfinite(comparison.after).any():
        st.caption("Nothing predicts the first character of a text, so this one has no surprise.")


def show_loss(before: np.ndarray, after: np.ndarray, where: str) -> None:
    """Two numbers side by side: the mean of bits [character] before and after."""
    meaning = f"Mean surprise in bits per character {where}"
    means = [float(bits.mean(dtype=np.float64)) if len(bits) else None for bits in (before, after)]
    shown = ["—" if mean is None else f"{mean:.3f}" for mean in means]
    change = None if means[0] is None else means[1] - means[0]
    seen = change is not None and abs(change) >= 5e-5
    with st.container(horizontal=True, gap="medium"):
        st.metric(
            "As it is, bits",
            shown[0],
            help=f"{meaning}, with nothing held: 0 is a text that the model foresees.",
            width="content",
        )
        st.metric(
            "Held, bits",
            shown[1],
            delta=f"{change:+.4f}" if seen else (None if change is None else "0.0000"),
            delta_color="inverse" if seen else "off",
            delta_arrow="auto" if seen else "off",
            help=f"{meaning}, with the units held. Below it, by how much it rises: more surprise "
            "means that the model has lost something it used.",
            width="content",
        )


def change_scale(change: np.ndarray) -> Scale:
    """From easier to harder, zero in the middle; one character in a hundred may lie beyond."""
    known = np.abs(change[np.isfinite(change)])
    limit = max(LEAST_LIMIT, float(np.quantile(known, 0.99)) if len(known) else 0.0)
    colours = theme.signed(limit).colours
    ends = f"−{limit:.2g} bits: easier", f"harder: +{limit:.2g} bits"
    return Scale("change of surprise (bits)", colours, -limit, 0.0, limit, ends[0], "0", ends[1])


def show_text(comparison: Comparison) -> int | None:
    """The text by the change at each character; returns the index of the clicked one."""
    reading, change = comparison.reading, comparison.after - comparison.before
    selection = coloured_text(
        reading.text.characters,
        change,
        rows=["held against as it is"],
        chosen_row=0,
        scale=change_scale(change),
        title=f"{reading.entry.title} · change of surprise",
        key="change",
        height=380,
    )
    if selection is None:
        st.caption("Click a character to see what the model expects after it, and to write on.")
        return None
    return selection.end - 1


def show_chances(comparison: Comparison, character: int) -> None:
    """What the model expects after a character, without and with the holds."""
    reading = comparison.reading
    at = int(reading.text.last_byte[character])
    bits = comparison.before[character], comparison.after[character]
    st.subheader(
        f"What comes after character {character + 1:,}?",
        anchor=False,
        help="The model's chances of each next byte; the ten that are likeliest in either case.",
    )
    facts = []
    if np.isfinite(bits[0]):
        facts.append(f"This character's own surprise: {bits[0]:.2f} bits, held {bits[1]:.2f}.")
    if at + 1 < len(reading.text.data):
        following = printable_byte(reading.text.data[at + 1])
        facts.append(f"The text goes on with **{words.verbatim(following)}**.")
    if facts:
        st.caption(
            " ".join(facts),
            help="Surprise is how unlikely the model thought the character that came: each bit "
            "halves the chance.",
        )
    st.plotly_chart(
        charts.next_byte_chances(reading.trace.next_byte[at], comparison.held.next_byte[at]),
        config=theme.plot_config(f"{reading.entry.name}-next-byte-{at + 1}"),
        key="chances",
    )


# -- What it writes -------------------------------------------------------------------------------


def show_samples(comparison: Comparison, character: int | None) -> None:
    """The same random numbers, without and with the holds."""
    entry, text = comparison.reading.entry, comparison.reading.text
    st.subheader(
        "What it writes",
        anchor=False,
        help=f"{WRITTEN_BYTES} bytes drawn one by one from the model's chances, at temperature "
        f"{TEMPERATURE} (below 1: likely bytes more often). Both texts use the same random "
        "numbers, so they differ only where the chances do.",
    )
    seed = st.number_input(
        "Seed",
        min_value=0,
        max_value=2**31,
        value=1,
        key="sample_seed",
        persist_state="session",
        help="Which random numbers: another seed gives another pair of texts.",
        width=150,
    )
    prime = prime_of(text, character)
    st.caption(
        f"Written on from the first {len(prime):,} bytes of the text."
        if character is None
        else f"Written on from character {character + 1:,}, after {len(prime):,} bytes up to it."
    )
    try:
        texts = [written(entry, prime, int(seed), holds) for holds in ((), comparison.holds)]
    except UserError as error:
        st.error(words.verbatim(str(error)))
        return
    for place, title, data in zip(st.columns(2), ("As it is", "Held"), texts, strict=True):
        with place:
            st.markdown(f"**{title}**")
            st.code(data.decode("utf-8", "replace"), language=None, wrap_lines=True)
    differing = np.flatnonzero(np.frombuffer(texts[0], np.uint8) != np.frombuffer(texts[1], "u1"))
    if len(differing):
        st.caption(
            f"They part at byte {differing[0] + 1:,} of {WRITTEN_BYTES}.",
            help="The first byte that differs; from there on each reads what it wrote itself.",
        )
    else:
        st.caption("The two texts are the same.")


# -- Used, or only going along --------------------------------------------------------------------


def ablation(reading: Reading, marks: np.ndarray, value: str) -> pd.DataFrame | None:
    """The table of `ablated` once it has been asked for; None before. Raises UserError."""
    started = st.button(
        "Start",
        icon=":material/play_arrow:",
        type="primary",
        help="Takes a while: the model reads the text once for each of the units.",
    )
    asked = reading.entry.path, reading.entry.stamp, reading.text.data, marks.tobytes(), value
    if not started and st.session_state.get("ablated") != asked:
        return None
    cancel = st.empty()
    # Any press of a button ends the script where it tells its progress, and nothing is kept.
    cancel.button("Cancel", icon=":material/close:", help="Stop; nothing is kept.")
    rows = ablated(reading, marks, value)
    cancel.empty()
    st.session_state["ablated"] = asked
    return rows


def show_use(reading: Reading, target: Target) -> None:
    """Whether cells that follow the property are used for it, beside cells taken at random."""
    st.subheader("Is the cell used, or does it only go along?", anchor=False)
    st.caption(
        f"The {RANKED} memory cells that follow the property best in this text, each held alone, "
        f"beside {AT_RANDOM} units at random of each of their layers. If a cell is used for the "
        "property, holding it costs more inside than outside, and more than holding others."
    )
    if target.marks is None:
        st.caption("This needs a property that holds of a part of the text, but not of all of it.")
        return
    offered = [at for at in HELD_AT if at not in ("closed", "open", OWN_VALUE)]
    choices.keep_valid("ablated_at", offered, "mean")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        value = st.selectbox(
            "Each held at",
            offered,
            format_func=lambda at: HELD_AT[at].label,
            help="\n\n".join(f"**{HELD_AT[at].label}**: {HELD_AT[at].meaning}" for at in offered),
            key="ablated_at",
            persist_state="session",
            width=220,
        )
        try:
            rows = ablation(reading, target.marks, value)
        except UserError as error:
            st.error(words.verbatim(str(error)))
            return
    if rows is not None:
        show_ablation(reading, rows)


def show_ablation(reading: Reading, rows: pd.DataFrame) -> None:
    """The chart and the table; a click on a row opens its cell."""
    st.plotly_chart(
        charts.cost_of_units(rows),
        config=theme.plot_config(f"{reading.entry.name}-ablation"),
        key="cost",
    )
    st.caption("**Click a row to open that cell.**")
    table_of_cells(
        as_shown(rows),
        rows,
        key="ablation",
        height=385,
        columns=ABLATION_COLUMNS,
    )
    st.download_button(
        "Table as CSV",
        lambda: rows.rename(columns=lambda c: f"{c}_bits" if "change" in c else c).to_csv(
            index=False
        ),
        file_name=f"{reading.entry.name}-ablation.csv",
        icon=":material/download:",
    )


def as_shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The table of ablations in the words of the page."""
    return pd.DataFrame(
        {
            "Which": [f"no. {n}" if n > 0 else "at random" for n in rows["rank"].fillna(0)],
            "Quantity": [words.QUANTITIES[q].label for q in rows["quantity"]],
            "Layer": rows["layer"],
            "Unit": rows["unit"],
            "Held at": rows["value"],
            "Inside": rows["change_inside"],
            "Outside": rows["change_outside"],
        }
    )


def _change(where: str):
    return st.column_config.NumberColumn(
        format="%+.4f",
        help=f"How much the mean surprise {where} the property rises when this unit alone is held, "
        "in bits per character.",
    )


ABLATION_COLUMNS = {
    "Which": st.column_config.TextColumn(
        help="Its place among the cells that follow the property best, or a unit taken at random."
    ),
    "Quantity": st.column_config.TextColumn(
        help="Which of the cell's memories: along time (from character to character) or along "
        "depth (from layer to layer)."
    ),
    "Layer": st.column_config.NumberColumn(help="1 reads the bytes; the last is the top."),
    "Unit": st.column_config.NumberColumn(help="Counted from 0."),
    "Held at": st.column_config.NumberColumn(
        format="%.3f", help="The value that it was held at, in the units of the quantity."
    ),
    "Inside": _change("inside"),
    "Outside": _change("outside"),
}


st.title("Switch off")
st.markdown(
    "Hold a unit at a value while the model reads, and see what the model loses. A cell may follow "
    "something in the text without being used for it: this tells the two apart."
)
text_line()
models = models_or_stop()
text = beginning(choices.current_text())
left, right = st.columns(2)
with left:
    entry = choices.choose_reader(models)
with right:
    target = choose_property(entry, text)
reading = read(entry, text)
keep_holdable(entry)
cell = choices.choose_cell(entry, reading.trace, text, offered=entry.metadata.model.holdable)
tell_of_no_effect(entry, cell)
chosen = choose_value(reading, cell, target.marks)
comparison = compare(reading, choose_holds(reading, chosen, target.marks))
show_losses(comparison, target)
clicked = show_text(comparison)
if clicked is not None:
    show_chances(comparison, clicked)
show_samples(comparison, clicked)
show_use(reading, target)
