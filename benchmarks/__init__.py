"""Speed and memory of thrust: `load` measures whole fronts against each other, `micro` single functions."""
