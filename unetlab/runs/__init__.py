"""Run folders, the jobs that fill them and the devices they use. No torch."""
