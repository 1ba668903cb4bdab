"""Tables: csv and parquet files, a folder of them, and Arrow or pandas tables, with a row for every step."""
