"""Facts of a training -> what happened, why, and one run that mends it. Standard library only."""
