"""Makes the fixes that findings carry: edits of scripts and notebooks that leave everything else as it stands.

Nothing here is imported by a plain check. LibCST finds the places, the text between them is never touched.
"""

from __future__ import annotations

from trainguard.fixing.apply import Outcome, fix_reports

__all__ = ["Outcome", "fix_reports"]
