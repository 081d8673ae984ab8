"""Sources: from a place where a run leaves its metrics to records, as `trainguard.signals.samples` describes them.

A source is read by polling: `poll` gives what is new since the last time. It opens only regular files (and the stream
that it is asked for), follows no link out of the folder that it was given, and loads no pickle.
"""
