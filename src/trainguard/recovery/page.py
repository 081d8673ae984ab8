"""The documentation page of this room, made from the policies, the catalogue and the Xids."""

from __future__ import annotations

import inspect
from collections import Counter

from trainguard.recovery.catalogue import messages
from trainguard.recovery.making import TRANSIENT
from trainguard.recovery.registry import HEADINGS, policies
from trainguard.recovery.xid import XIDS

_HEAD = """# What failed, and what is done about it

When an attempt ends, `classify` says what it ended with, and `decide` what is done next. Both are pure: they take what
is known and give an answer, with no clock, no file and no chance in between, so that each decision can be asked again.

## What is believed, in this order

1. What trainguard itself asked for: a stop is no failure, and who is ended for standing still hung.
2. A result that was saved with all planned steps made, however the process ended after it, and a clean exit with them.
   Nothing that was printed on the way makes a failure of it.
3. The run's own last finding, where the process ended by itself.
4. The kernel. A SIGKILL is one for memory only where the control group has counted it or the kernel's log names the
   process; without that somebody sent it.
5. The disk, the mounts and the GPU. Full is what `statvfs` calls full, whatever the errno says: a full disk also shows
   as `unexpected pos`, and an `ENOSPC` may come from another file system.
6. The exception with which the process ended, and those that it came of, by the catalogue. A traceback that was logged
   and survived does not count, nor do rows of training data that were printed.

## Progress

An attempt counts against `guard.retries` unless it made a new verified checkpoint: new is what lies beyond every one
before it. The first attempt after a fault begins at once where waiting wins nothing; pauses double from
`guard.retry_delay_seconds` up to half an hour, give or take a quarter. After 40 attempts of any kind without progress a
person must look.

"""


def page() -> str:
    """docs/recovery.md."""
    parts = [_HEAD, "## The policies\n"]
    for policy in policies():
        kinds = ", ".join(f"{kind}{'' if kind in TRANSIENT else ' (does not pass by itself)'}" for kind in policy.kinds)
        text = inspect.cleandoc(policy.__doc__ or "")
        for heading in HEADINGS:
            text = text.replace(f"*{heading}*", f"**{heading}.**").replace(f"**{heading}.**\n\n", f"**{heading}.** ")
        parts.append(f"### {policy.name}\n\nFor: {kinds}.\n\n{text}\n")
    counted = Counter(each.kind for each in messages())
    parts.append(f"## The catalogue\n\n{len(messages())} messages of real programs, by what they mean:\n")
    parts.append("| kind | messages |\n|---|---|")
    parts += [f"| {kind} | {count} |" for kind, count in sorted(counted.items())]
    parts.append("\n| message | kind | code | source |\n|---|---|---|---|")
    parts += [f"| {each.id} | {each.kind} | {each.code} | {each.source} |" for each in messages()]
    parts.append("\n## Xids\n\nNVIDIA, XID Errors (docs.nvidia.com/deploy/xid-errors).\n")
    parts.append("| Xid | what | whose | what to do |\n|---|---|---|---|")
    whose = {"application": "the program's", "gpu": "the GPU's", "report": "a report only"}
    parts += [f"| {each.number} | {each.name} | {whose[each.meaning]} | {each.todo} |" for each in XIDS.values()]
    return "\n".join(parts) + "\n"
