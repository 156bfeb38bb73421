"""Demonstration data: made-up people and businesses of Australia and New Zealand, the same ones every time.

Contact number n depends on n alone, so that more can be added later and a run that was killed goes on where it stopped.
"""
