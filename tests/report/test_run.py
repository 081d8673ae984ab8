"""A run as text, page and curves: bounded, escaped, with the findings on it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from trainguard.findings import Finding
from trainguard.report.run_html import render_run_html
from trainguard.report.run_json import render_run_json
from trainguard.report.run_plots import Mark, _tick, curve_plot
from trainguard.report.run_text import render_run_text, status_line
from trainguard.report.run_view import MOST_POINTS, Curve, RunView, duration, sparkline

_SVG = "{http://www.w3.org/2000/svg}"


def curve(*values: float) -> Curve:
    made = Curve()
    for at, value in enumerate(values):
        made.add(float(at), value)
    return made


def test_a_long_curve_is_thinned_and_keeps_its_spikes() -> None:
    values = [2.0] * 50_000
    values[31_313] = 9.0
    values[40_001] = -1.0
    made = curve(*values)

    assert len(made.points) < 2 * MOST_POINTS
    assert (31_313.0, 9.0) in made.points
    assert (40_001.0, -1.0) in made.points
    assert [at for at, _ in made.points] == sorted(at for at, _ in made.points)
    assert made.count == 50_000


def test_what_is_kept_of_a_run_is_bounded() -> None:
    view = RunView(subject="run")
    for step in range(3000):
        view.add({"step": step, "loss": math.nan, **{f"m{number}": 1.0 for number in range(100)}})
        view.say([Finding("warn", "m", code="RUN003", step=step)])

    assert len(view.curves) < 60
    assert len(view.curves["loss"].bad) == 200
    assert len(view.findings) == 2000
    assert view.report().notes == ("1,000 more findings were not kept",)


def test_pace_and_what_is_left() -> None:
    view = RunView(subject="run", declared={"max_steps": 100})
    for step in range(0, 51, 10):
        view.add({"step": step, "t": step * 2.0, "loss": 1.0})

    assert view.pace == 2.0
    assert view.seconds_left == 100.0
    assert status_line(view) == "step 50/100 · loss 1 · 2 s/step · 2 min left"


def test_durations() -> None:
    assert [duration(each) for each in (5, 100, 3600, 12_000, 190_000)] == [
        *("5 s", "2 min", "1 h", "3 h 20 min", "2 d 4 h")
    ]


def test_sparklines() -> None:
    assert sparkline(curve(*range(8)), 8) == "▁▂▃▄▅▆▇█"
    assert sparkline(curve(1.0, 1.0), 8) == "▅▅"
    assert sparkline(curve(*range(8)), 8, unicode=False).isascii()
    assert sparkline(curve(math.nan), 8) == ""


def test_a_mark_stands_where_its_step_is() -> None:
    plot = ET.fromstring(curve_plot("loss", curve(*range(101)), marks=[Mark.of("error", 50.0, "RUN001")]))

    line = next(each for each in plot.iter(f"{_SVG}line") if "mark" in each.get("class", ""))
    steps = {each.text: float(each.get("x", 0)) for each in plot.iter(f"{_SVG}text") if each.get("class") == "tick"}
    assert float(line.get("x1", 0)) == steps["50"]
    assert steps["0"] < steps["50"] < steps["100"]


def test_a_curve_that_goes_back_is_two_lines() -> None:
    made = Curve()
    for at in (1.0, 2.0, 3.0, 2.0, 3.0):
        made.add(at, at)

    assert curve_plot("loss", made).count("<polyline") == 2


def test_one_spike_does_not_press_the_curve_flat() -> None:
    values = [1.0 + (step % 7) / 10 for step in range(100)]
    values[50] = 30.0
    plot = ET.fromstring(curve_plot("grad_norm", curve(*values)))

    heights = [float(each.split(",")[1]) for each in next(plot.iter(f"{_SVG}polyline")).get("points", "").split()]
    assert max(heights[:50]) - min(heights[:50]) > 40
    assert len([each for each in plot.iter(f"{_SVG}path") if each.get("class") == "over"]) == 1


@given(st.lists(st.floats(), max_size=30), st.text(max_size=20))
def test_hostile_curves_are_well_formed(values: list[float], name: str) -> None:
    plot = curve_plot(name, curve(*values), marks=[Mark.of("warn", math.inf if len(values) % 2 else 3.0, name, name)])

    if plot:
        for number in re.findall(r'"(-?\d+\.?\d*|nan|inf)"', ET.canonicalize(plot)):
            assert math.isfinite(float(number))


@given(
    st.lists(
        st.dictionaries(
            st.one_of(st.sampled_from(["step", "t", "loss", "event", "tick", "epoch", "name"]), st.text(max_size=5)),
            st.one_of(st.none(), st.floats(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2)),
            max_size=6,
        ),
        max_size=10,
    )
)
def test_hostile_records_are_shown(records: list[Mapping[str, object]]) -> None:
    view = RunView(subject="a\x1b<b>")
    for record in records:
        view.add(record)
    view.say([Finding("error", "m\x1b", code="<i>", step=10**30)])

    text, page = render_run_text(view), render_run_html(view)
    assert "\x1b" not in text + page
    assert "<i>" not in page
    assert render_run_json(view).isascii()


def test_the_page_says_what_was_found_first() -> None:
    view = RunView(subject="out", kind="log file", method="sft", declared={"max_steps": 10})
    for step in range(10):
        view.add({"step": step, "loss": 1.0})
    view.say([Finding("warn", "w", code="RUN003", step=5), Finding("error", "e", code="RUN001", step=7)])
    page = render_run_html(view, version="1")

    assert page.index("RUN001 ") < page.index("RUN003 ")
    assert page.index("Findings") < page.index("Curves") < page.index("What the run has declared")


def test_no_number_beside_the_axis_is_cut() -> None:
    values = (0.0, 3, 0.05, 12.25, 0.0001, 0.000105, 9.5e-5, 1.05e-7, 123456.0)
    assert [_tick(value) for value in values] == [
        *("0", "3", "0.05", "12.25", "0.0001", "1.05e-4", "9.5e-05", "1.05e-7", "1.23e5"),
    ]
