// A text whose every character stands on the colour of its value, and under it one strip of
// characters for every row (layer). Text of the user reaches the page as text nodes and canvas
// text only. Positions count characters (code points) from 0, as in the arrays; where they are
// shown, they count from 1, as everywhere on the pages.

import { unpack } from "./message.mjs";
import { View } from "./view.mjs";

/** @type {WeakMap<Element, View>} */
const views = new WeakMap();

/**
 * What Streamlit calls at first and again whenever the data or the theme change.
 * @param {object} component
 * @param {Uint8Array} component.data
 * @param {Element} component.parentElement
 * @param {(name: string, value: unknown) => void} component.setStateValue
 * @returns {() => void} what takes it off the page
 */
export default function drawColouredText({ data, parentElement, setStateValue }) {
  const picture = unpack(data);
  const known = views.get(parentElement);
  const view = known ?? new View(parentElement, picture);
  views.set(parentElement, view);
  view.report = (selection) => setStateValue("selection", selection);
  view.update(picture, known?.picture);
  return () => {
    view.remove();
    views.delete(parentElement);
  };
}
