"""The experiments of the documentation, one command each: ``fastpg experiment NAME``.

An experiment is a plan (which jobs), which is run in parallel processes and skips what is finished, and a drawing (CSV
and PNG from what the jobs left on disk).
"""
