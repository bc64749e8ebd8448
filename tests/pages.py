"""A page of the dashboard in AppTest, by its file and the parameters of its link."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parent.parent


def opened(view: str, **query: str) -> AppTest:
    """The page dashboard/views/<view>.py, drawn once; nothing on it may have failed."""
    app = AppTest.from_file(str(ROOT / "dashboard" / "views" / f"{view}.py"), default_timeout=120)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert [item.value for item in app.exception] == []
    return app


def control(elements: Sequence[Any], name: str) -> Any:
    """The control of this name as it stands now, as in `control(app.slider, "market_years")`.

    A value that changed elsewhere has put another control in its place (dashboard.state.control_key).
    """
    (found,) = [item for item in elements if item.key and re.fullmatch(f"{re.escape(name)}(-\\d+)?", item.key)]
    return found


def assert_every_value_is_told(app: AppTest) -> None:
    """Every control's message carries its value, also when nothing changed since the drawing before.

    What a drawing that was cut short said is lost, and a browser that was told nothing shows, and sends back, the
    least value or the first.
    """
    for item in app.slider:
        assert list(item.proto.default) == pytest.approx([item.value]), item.label
    for item in app.select_slider:
        assert item.options[int(item.proto.default[0])] == item.format_func(item.value), item.label
    for item in app.selectbox:
        assert item.options[item.proto.default] == item.format_func(item.value), item.label
    for item in [*app.multiselect, *app.button_group]:
        values = item.value if isinstance(item.value, list) else [item.value]
        assert [item.options[place] for place in item.proto.default] == [item.format_func(v) for v in values]
    for item in [*app.toggle, *app.checkbox, *app.text_input]:
        assert item.proto.default == item.value, item.label
