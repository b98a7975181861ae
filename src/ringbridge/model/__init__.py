"""The words of Ringbridge as values: directory, calls and their events, CDRs, release causes.

Pure: no I/O, no clock, no randomness.
"""
