"""The network on chip alone: a trace of messages is sent over a chip's links, with no network of neurons behind it."""
