"""Data modules whose episodes the model itself plays."""
