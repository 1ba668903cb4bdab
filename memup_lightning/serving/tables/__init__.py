"""Tables of predictions: written batch by batch, then in the order of the user's rows."""
