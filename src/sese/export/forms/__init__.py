"""Layers in the form in which they are traced, a file for each family of layers.

A layer's own loops over frames can be traced only for a given number of frames, and some products run slowly
as the operators that PyTorch writes for them. Its form is a set of methods that replace its own while it is
traced and compute the same numbers. `tracing.for_tracing` puts the forms into a copy of a network.

| file | layers |
| --- | --- |
| `recurrent.py` | GRUs, as ONNX' GRU |
| `bitwise.py` | layers of bits, and the codes that they take |
| `gated_mixer.py` | the gated mixer and its branches |
| `products.py` | branches and slimmable blocks that are matrix products |
| `convolutions.py` | convolutions along time, and their activation |
| `attention.py` | attention |
| `spectra.py` | features and heads of spectra; `fourier.py` has their transforms |

`activity.py` has the policy that lets a network rest, as functions of one frame. Each other file ends with
`FORMS`: for each class a function of a layer, and of whether it is traced for any number of frames, that
returns the replaced methods by name.
"""
