"""What every feature stands on: the engine, the event log, errors, settings.

It knows no feature and no web framework.
"""
