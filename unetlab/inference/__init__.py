"""Predictions for pictures of any size, and their scores. Needs torch; used by training, evaluation and previews."""
