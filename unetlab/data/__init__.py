"""Pairs of pictures and masks: found, read, checked, stored. numpy and Pillow; no torch."""
