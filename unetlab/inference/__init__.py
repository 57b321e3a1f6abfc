"""Predictions of pictures of any size, and their scores. torch; used by training, evaluation and previews."""
