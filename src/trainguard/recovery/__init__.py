"""What failed, and what to do about it. Pure: values in, values out.

`classify.classify` and `decide.decide` are the two questions; nothing is imported here, so that the records stay cheap.
"""
