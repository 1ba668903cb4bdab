"""Text: files, vocabulary, tokens, and episodes whose outcome is the next token."""
