"""The kinds of figures, one file each, found by their names."""
