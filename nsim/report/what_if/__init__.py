"""What another mapping would give, simulated on the same activity: advice that is printed was tried.

A what-if is a dict, as report.json holds it:
  option, value   of the command that gives the mapping; None if no value of an option does
  layer, words    the layer that is changed, and the change in words
  measure         "time" of the run in picoseconds, or "load" of the busiest core, 1 being all that it can do
  before, after   of the run and of the best change that was tried: both were simulated
"""
