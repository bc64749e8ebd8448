"""Cost-effectiveness and Sensitivity: draws of the lung model, what they say at any threshold, their charts."""
