"""The page: a browser's way to everything that the command line does."""
