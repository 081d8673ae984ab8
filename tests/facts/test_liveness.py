from __future__ import annotations

import pytest
from tests.facts.reading import calls_of


@pytest.mark.parametrize(
    "source",
    [
        "def dead():\n    show()",
        "def dead():\n    show()\ndef also():\n    dead()",
        "if False:\n    show()",
        "DEBUG = False\nif DEBUG:\n    show()",
        "x = 'a'\nif x == 'b':\n    show()",
        "if __name__ != '__main__':\n    show()",
        "while 0:\n    show()",
        "import sys\nsys.exit(0)\nshow()",
        "def f():\n    return\n    show()\nf()",
        "class C:\n    def f(self):\n        show()",
        "for x in y:\n    continue\n    show()",
        "raise SystemExit\nshow()",
        "x = None\nif x is not None:\n    show()",
    ],
)
def test_what_never_runs(source: str) -> None:
    assert [call.live for call in calls_of(source + "\n")] == [False]


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    show()\nmap(f, x)",
        "def f():\n    show()\ntable = {'a': f}",
        "@app.command()\ndef f():\n    show()",
        "def f():\n    show()\nglobals()['f']()",
        "class C(Trainer):\n    def compute_loss(self):\n        show()\nC()",
        "class C:\n    def __enter__(self):\n        show()\nC()",
        "class C:\n    show()",
        "class C:\n    def f(self):\n        show()\nC().f()",
        "@register\nclass C:\n    def __init__(self):\n        show()",
        "try:\n    import x\nexcept ImportError:\n    show()",
        "if TYPE_CHECKING:\n    show()",
        "done = []\nfill(done)\nif done:\n    show()",
        "done = False\ndef f():\n    global done\n    done = True\nf()\nif done:\n    show()",
        "class S:\n    done = False\ns = S()\ns.done = True\nif s.done:\n    show()",
        "class S:\n    model = None\n    def go(self):\n        if self.model:\n            show()\n"
        "s = S()\ns.model = 1\ns.go()",
        "seen = set()\nfor x in y:\n    if x in seen:\n        show()\n    seen.add(x)",
        "first = True\nfor x in y:\n    if not first:\n        show()\n    first = False",
        "with suppress(KeyError):\n    return_early()\n    raise KeyError\nshow()",
        "if __name__ == '__main__':\n    show()",
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--x', action='store_true')\n"
        "if unknown().x:\n    show()",
        "atexit.register(lambda: show())",
        "x = [show() for _ in y]",
    ],
)
def test_what_may_run(source: str) -> None:
    assert [call.live for call in calls_of(source + "\n")] == [True]


def test_a_flag_of_the_job_decides() -> None:
    source = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--push', action='store_true')\n"
    source += "if p.parse_args().push:\n    show()\n"
    assert [call.live for call in calls_of(source)] == [False]
    assert [call.live for call in calls_of(source, arguments=("--push",))] == [True]
    assert [call.live for call in calls_of(source, arguments=None)] == [True]
