"""What may be wrong with a set, and the split."""
