"""The core loop and what it needs. torch; start reading at learner.py."""
