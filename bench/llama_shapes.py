"""Layers of published models of 1 to 70 billion weights: what the GPU's benchmarks and reports measure."""
import collections

Model = collections.namedtuple("Model", "hidden inner key layers vocabulary")
MODELS = {"1B": Model(2048, 8192, 512, 16, 128256), "8B": Model(4096, 14336, 1024, 32, 128256),
          "34B": Model(8192, 22016, 1024, 48, 32000), "70B": Model(8192, 28672, 1024, 80, 128256)}
# How often a layer has a matrix of this shape: o is of q's shape, v of k's, up of gate's.
MATRICES = {"q": 2, "k": 2, "gate": 2, "down": 1}
