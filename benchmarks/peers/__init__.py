"""Whole trainings by other libraries, each behind functions that return what is timed."""
