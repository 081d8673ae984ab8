"""The trainer without torch as a file that can be run: `trainguard.drills.process._tiny_trainer` tells all about it."""

import runpy

runpy.run_module("trainguard.drills.process._tiny_trainer", run_name="__main__")
