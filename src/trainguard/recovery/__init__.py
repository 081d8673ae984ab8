"""What failed, and what to do about it. Pure: values in, values out."""
