"""The command line, a LightningCLI."""
