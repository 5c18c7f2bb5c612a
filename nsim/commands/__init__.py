"""The commands of `nsim`, one module each. Libraries are imported where a command needs them."""
