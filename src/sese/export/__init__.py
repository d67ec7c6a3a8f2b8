"""Export: from a trained network to the one file that the runtime reads.

The files call each other in this order:

1. `folder.py` writes a model folder. It calls `onnx.py` for the graph, `check.py` to compare the graph with
   the network, `packed.py` for networks of bits, and `card.py` for the model card.
2. `onnx.py` builds the graph for calls with one frame and with many. It gets the traced parts of the network
   from `parts.py`, and joins them: `routing.py` for the router, `levels.py` or `level_graphs.py` for the
   levels, or `resting.py` for all of it in a network that can rest.
3. `parts.py` traces the network. `forms/` gives its layers the form in which they are traced; `gates.py` and
   `loops.py` replace the markers that tracing leaves.
4. `graph.py` holds the graph under construction: nodes, branches and initializers.

`quantise.py` calls `folder.py`: it exports a folder and then makes its weights smaller.

`gtcrn_format.py` writes one file for programs that transform samples themselves; `on_spectra.py` prepares a
network for it.
"""
