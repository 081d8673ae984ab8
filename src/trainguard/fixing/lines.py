"""Carries changes of a text as the rules read it over to the text as it stands in its file.

The rules read unified line ends, no byte-order mark and no form feeds; a notebook's magics are masked.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from trainguard.fixing.changes import CannotFixError, Region

_LINE_END = re.compile(r"\r\n|\r|\n")


def regions_in_file(text: str, raw: str, regions: Sequence[Region]) -> list[Region]:
    """The regions of `text` as regions of `raw`, whose lines are the same where something changes.

    New lines end as those around them. Raises CannotFixError where a line that changes is not the same.
    """
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    ends = [(match.start(), match.end()) for match in _LINE_END.finditer(raw)]
    raw_starts = [0, *(end for _, end in ends)]
    raw_ends = [*(start for start, _ in ends), len(raw)]
    first_end = raw[ends[0][0] : ends[0][1]] if ends else "\n"
    result = []
    for region in regions:
        places = []
        for offset in (region.start, region.end):
            number = bisect_right(starts, offset) - 1
            if number >= len(raw_starts):
                raise CannotFixError("the file has other lines than the script that was read")
            places.append((number, offset - starts[number]))
        (first, _), (last, column) = places
        for number in range(first, last + 1 if column else last):
            if raw[raw_starts[number] : raw_ends[number]] != text[starts[number] : starts[number + 1] - 1]:
                raise CannotFixError(f"line {number + 1} stands otherwise in the file: it has a magic or a form feed")
        line_end = raw[ends[first][0] : ends[first][1]] if first < len(ends) else first_end
        start, end = (raw_starts[number] + column for number, column in places)
        result.append(Region(start=start, end=end, new=region.new.replace("\n", line_end)))
    return result
