"""Datamodules whose episodes the model itself plays."""
