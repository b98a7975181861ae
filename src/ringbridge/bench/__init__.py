"""Measuring Ringbridge from outside: real processes, HTTP in, SIPp as both phones (`ringbridge bench`).

Nothing here is imported by the program itself. Figures are taken in one run on one machine and printed with what ran;
machines differ and are noisy, so compare ratios (design.md, issue "Figures").
"""
