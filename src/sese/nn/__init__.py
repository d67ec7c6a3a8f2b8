"""Networks: the parts of an enhancer, the systems built from them, plans, states and cost."""
