"""A gallery as one element: pictures that are buttons, with their captions.

Drawn with one button and one image of Streamlit for each slice, a page of twelve takes the browser longer than
all figures beside it, each time that anything moves.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import streamlit as st

OPENED = "opened"

CSS = """
ul { display: grid; gap: .5rem; margin: 0; padding: 0; list-style: none;
  grid-template-columns: repeat(auto-fill, minmax(max(6.25rem, calc((100% - 3rem) / var(--columns))), 1fr)); }
button { display: block; width: 100%; padding: 3px; border: 2px solid transparent; border-radius: .5rem;
  cursor: pointer; font: inherit; font-family: var(--st-font); color: var(--st-text-color);
  background: none; text-align: left; }
button:hover, button:focus-visible, button.opened { border-color: var(--st-primary-color); outline: none; }
img, i { display: block; width: 100%; aspect-ratio: 1; border-radius: .375rem; object-fit: contain; }
i { background: repeating-linear-gradient(45deg,
  color-mix(in srgb, var(--st-gray-color) 40%, transparent) 0 2px, transparent 2px 6px); }
span { display: block; padding: .125rem .125rem 0; font-size: .8125rem; line-height: 1.35;
  overflow-wrap: anywhere; }
"""

JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  const list = parentElement.querySelector("ul");
  list.style.setProperty("--columns", data.columns);
  list.setAttribute("aria-label", data.name);
  while (list.children.length > data.tiles.length) list.lastChild.remove();
  while (list.children.length < data.tiles.length) {
    const item = document.createElement("li");
    const button = item.appendChild(document.createElement("button"));
    button.type = "button";
    button.append(document.createElement("i"), document.createElement("span"));
    list.append(item);
  }
  data.tiles.forEach((tile, place) => {
    const button = list.children[place].firstChild;
    const wanted = tile.picture ? "IMG" : "I";
    if (button.firstChild.tagName !== wanted) button.firstChild.replaceWith(document.createElement(wanted));
    if (tile.picture && button.firstChild.src !== tile.picture) button.firstChild.src = tile.picture;
    if (tile.picture) button.firstChild.alt = "";
    button.lastChild.textContent = tile.caption;
    button.title = tile.words;
    button.setAttribute("aria-label", `${tile.caption}. ${tile.words}`);
    button.className = tile.opened ? "opened" : "";
    button.dataset.sign = tile.sign;
    button.onclick = () => setTriggerValue("opened", tile.sign);
  });
}
"""

_component = st.components.v2.component("lunglens_tiles", html="<ul></ul>\n", css=CSS, js=JS)


@dataclass(frozen=True)
class Tile:
    """One picture: what stands for it in an address, its caption, what it is in words, the picture as data."""

    sign: str
    caption: str
    words: str
    picture: str
    opened: bool = False


def as_data(picture: bytes | None) -> str:
    """A WebP or PNG as an address that holds it, or ""."""
    if picture is None:
        return ""
    kind = "png" if picture.startswith(b"\x89PNG") else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def tiles(shown: Sequence[Tile], name: str, key: str, columns: int, on_open: Callable[[str], None]) -> None:
    """The gallery; `on_open` gets the sign of the tile that was pressed, before anything is drawn anew."""

    def opened() -> None:
        sign = st.session_state[key][OPENED]
        if sign:
            on_open(sign)

    data = {"tiles": [asdict(tile) for tile in shown], "columns": columns, "name": name}
    _component(key=key, data=data, on_opened_change=opened)
