"""Stepping through a run in the readable engine: what every station holds, why it waits, and where to stop.

stepper       one service after another, watched         spans         what a run consists of, by discipline
breakpoints   where to stop                              words         what stations hold, in sentences
"""
