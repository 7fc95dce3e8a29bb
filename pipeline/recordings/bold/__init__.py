"""BOLD images of listeners to labelled recordings: one story, many listeners, one scan in memory at a time."""
