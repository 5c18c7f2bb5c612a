"""Why it takes so long: bounds from counts alone (floorline), sensitivity, bottlenecks."""
