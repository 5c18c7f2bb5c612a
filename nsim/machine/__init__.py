"""When things happen: stations, their rules, and two engines that serve the same services."""
