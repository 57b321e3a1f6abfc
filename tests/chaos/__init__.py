"""Runs under fire: `python -m tests.chaos --minutes 30 --seed N`, and two minutes of it as a test."""
