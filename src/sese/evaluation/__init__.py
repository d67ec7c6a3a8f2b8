"""How well an enhancer does: metrics, their evaluation over a paired corpus at every level, and reports."""
