"""Stepping through a run in the readable engine: what every station holds, why it waits, and where to stop.

session       a run, and where it is           stepper       one service after another, watched
span          what a discipline says of a run: timesteps.py, frames.py, events.py and ticks.py give one each
breakpoints   where to stop                    words         what stations hold, in sentences
"""
