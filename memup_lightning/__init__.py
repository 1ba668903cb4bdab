"""Train long-term memory without backpropagating through long sequences: MemUP for PyTorch Lightning."""

__version__ = "0.1.0"
