"""One step of a trained model with its state as argument and result: as a module, as a function of tensors, compiled."""
