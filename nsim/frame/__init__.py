"""Chips whose layers work on frames: a core begins with a frame when all of that frame's messages have arrived."""
