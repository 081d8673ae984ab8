"""The 80 edge cases by number: what each is called and which codes tell of it.

Numbers from 101 on are drills beyond the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EdgeCase:
    """One row of the catalogue. `codes` are the findings that a user may see of it."""

    number: int
    title: str
    codes: tuple[str, ...]


_ROWS = """
1 | empty training file | DATA001
2 | fewer examples than one batch | DATA009
3 | sequences over max_length | DATA008
4 | malformed JSON | DATA002
5 | missing `messages` | DATA003
6 | empty `messages` | DATA004
7 | wrong role names | DATA005
8 | content not a string | DATA006
9 | emoji, RTL, surrogates, bad bytes | DATA007
10 | files over 1 GB | DATA019
11 | base model missing | MODEL001
12 | corrupted model files | MODEL002
13 | adapter and base differ | MODEL004
14 | no checkpoints | CKPT001
15 | empty checkpoint folder | CKPT002
16 | trainer_state.json missing | CKPT003
17 | trainer_state.json corrupted | CKPT004
18 | checkpoint of another model | CKPT006
19 | outdated format | CKPT007
20 | partial save | CKPT005
21 | GPU OOM while loading the model | RUN010
22 | OOM while tokenizing | RUN011
23 | GPU OOM while training | RUN010
24 | system RAM OOM | RUN011
25 | disk full | SYS001, RUN025
26 | no GPU | SYS006
27 | several GPUs | SYS007
28 | GPU crash mid-training | RUN013
29 | fragmentation, many small allocations | RUN014
30 | swap thrashing | SYS005
31 | config.json missing | CFG001
32 | invalid JSON | CFG002
33 | max_length below the shortest example | CFG007
34 | max_length beyond positions or GPU memory | CFG008
35 | batch_size = 0 | CFG004
36 | batch_size too large | JOB017
37 | learning_rate = 0 | CFG004
38 | learning_rate too high | API010, RUN003
39 | unknown model name | CFG005
40 | tokenizer and model differ | CFG006, MODEL005
41 | daemon killed (SIGKILL) | RUN012
42 | power loss | RUN012, CKPT005
43 | reboot | RUN012
44 | disk I/O errors | SYS003
45 | network mount gone | SYS012
46 | permission errors | SYS003
47 | clock skew | SYS010
48 | several daemons, stale PID | SYS009
49 | zombie processes | SYS014
50 | locked files | SYS003
51 | file deleted while queued | QUEUE001
52 | file moved while processing | QUEUE002
53 | same name twice | QUEUE003
54 | circular symlinks | QUEUE004
55 | spaces, quotes, newlines in names | QUEUE005
56 | not `.jsonl` | QUEUE006
57 | retry with nothing failed | QUEUE007
58 | queue state corrupted | QUEUE008
59 | priority inversion | QUEUE009
60 | infinite retry | QUEUE010
61 | zero training steps | RUN015
62 | negative global_step | CKPT008
63 | global_step > max_steps (next file "already trained") | CKPT009
64 | loss NaN | RUN001
65 | loss inf | RUN002
66 | loss does not fall | RUN004
67 | validation loss rises | RUN005
68 | one pattern in every output | RUN006
69 | accuracy 0 % | RUN007
70 | speed 0 (hang) | RUN008
71 | UnboundLocalError | PY003
72 | NameError | PY002
73 | AttributeError | PY006, API001, RUN022
74 | KeyError | PY006, API008, RUN022
75 | IndexError | PY006, RUN022
76 | TypeError | API002, API007, PY005, RUN022
77 | ValueError | API005, API009, RUN022
78 | ZeroDivisionError | PY006, RUN022
79 | RecursionError | PY006, RUN022
80 | MemoryError | RUN011
101 | data file cut short under the reader | DATA020
102 | model file cut short under the reader | MODEL002
"""


def _read(rows: str) -> dict[int, EdgeCase]:
    found = {}
    for line in rows.strip().splitlines():
        number, title, codes = (part.strip() for part in line.split(" | "))
        found[int(number)] = EdgeCase(int(number), title, tuple(codes.split(", ")))
    return found


EDGE_CASES: Mapping[int, EdgeCase] = _read(_ROWS)
IN_CATALOGUE = range(1, 81)
