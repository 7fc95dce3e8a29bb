"""Datasets on OpenNeuro: lists of the files of a pinned snapshot, and the names that BIDS gives them."""
