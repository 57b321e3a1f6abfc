"""Mask values to classes: surveys, proposals, readings, palettes, names."""
