"""The model wing: torch modules only. No files, no environments, no episode indices."""
