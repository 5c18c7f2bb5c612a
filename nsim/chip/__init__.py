"""What a chip is and costs: the file format, and one module a discipline: timesteps, frames, events, tiles."""
