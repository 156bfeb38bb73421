"""Benchmarks: how fast Bellbird is beside the database's own bound, measured in the same run.

Each benchmark is a module here with a `main`; it prints a table and writes `benchmarks/results/NAME.json`.
"""
